// Package workspacetest is for tests of what stands on a workspace: models and adapters to open,
// and what is said meanwhile.
//
// It may import anything; only tests import it.
package workspacetest
