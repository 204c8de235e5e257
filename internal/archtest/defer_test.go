package archtest

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lostErrors finds deferred functions that assign an error to a variable which nobody can read
// any more: one of the function that defers, but none of its results. What a return statement
// returns was copied before. A result needs a name for a deferred function to change it, and
// the name must not be hidden by a variable of an inner block.
func lostErrors(fset *token.FileSet, files []*ast.File) (found []string) {
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}}
	// Only which variable a name means is asked for: imports need not be found for that.
	conf := types.Config{Importer: noImports{}, FakeImportC: true, Error: func(error) {}}
	_, _ = conf.Check("p", fset, files, info)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch f := n.(type) {
			case *ast.FuncDecl:
				if f.Body != nil {
					found = append(found, lostIn(fset, info, f, f.Type, f.Body)...)
				}
			case *ast.FuncLit:
				found = append(found, lostIn(fset, info, f, f.Type, f.Body)...)
			}
			return true
		})
	}
	return found
}

type noImports struct{}

func (noImports) Import(string) (*types.Package, error) { return nil, errors.New("not looked at") }

// lostIn looks at what one function defers itself.
func lostIn(
	fset *token.FileSet, info *types.Info, fn ast.Node, typ *ast.FuncType, body *ast.BlockStmt,
) (found []string) {
	results := map[types.Object]bool{}
	if typ.Results != nil {
		for _, field := range typ.Results.List {
			for _, name := range field.Names {
				results[info.Defs[name]] = true
			}
		}
	}
	inside := func(o types.Object, n ast.Node) bool { return n.Pos() <= o.Pos() && o.Pos() < n.End() }
	ast.Inspect(body, func(n ast.Node) bool {
		if _, nested := n.(*ast.FuncLit); nested {
			return false // looked at by itself
		}
		d, ok := n.(*ast.DeferStmt)
		if !ok {
			return true
		}
		deferred, ok := d.Call.Fun.(*ast.FuncLit)
		if !ok {
			return true
		}
		ast.Inspect(deferred.Body, func(n ast.Node) bool {
			a, ok := n.(*ast.AssignStmt)
			if !ok || a.Tok != token.ASSIGN {
				return true
			}
			for i, left := range a.Lhs {
				name, ok := left.(*ast.Ident)
				if !ok || name.Name == "_" || !ofError(name.Name, a.Rhs[min(i, len(a.Rhs)-1)]) {
					continue
				}
				if o := info.Uses[name]; o != nil && !results[o] && !inside(o, deferred) && inside(o, fn) {
					found = append(found,
						fmt.Sprintf("%s: %s is no named result of the function, so what a deferred function puts "+
							"into it is lost", fset.Position(a.Pos()), name.Name))
				}
			}
			return true
		})
		return false
	})
	return found
}

// ofError tells whether an assignment is that of an error, by its looks.
func ofError(name string, value ast.Expr) bool {
	if strings.HasPrefix(strings.ToLower(name), "err") || strings.HasSuffix(name, "Err") {
		return true
	}
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (s.Sel.Name == "Join" || s.Sel.Name == "Errorf")
}

func TestDeferredFunctionsLoseNoErrors(t *testing.T) {
	fset := token.NewFileSet()
	packages := map[string][]*ast.File{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "build" || name == "runs" || name == "data" && filepath.Dir(path) == "../.." ||
				strings.HasPrefix(name, ".") && len(name) > 2 {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		key := filepath.Dir(path) + " " + f.Name.Name
		packages[key] = append(packages[key], f)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, len(packages), 30)
	for _, files := range packages {
		for _, lost := range lostErrors(fset, files) {
			t.Error(lost)
		}
	}
}

func TestLostErrorsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		lost int
		text string
	}{
		"unnamed result": {1,
			`func f() error { err := g(); defer func() { err = errors.Join(err, g()) }(); return err }`},
		"named result": {0, `func f() (err error) { defer func() { err = errors.Join(err, g()) }(); return g() }`},
		"no result":    {1, `func f() { err := g(); defer func() { err = errors.Join(err, g()) }(); h(err) }`},
		"hidden": {1, `func f() (err error) {
			if x, err := k(); x { defer func() { err = errors.Join(err, g()) }(); return err }
			return nil }`},
		"of the deferred function": {0,
			`func f() error { defer func() { var err error; err = g(); h(err) }(); return nil }`},
		"of the function around": {0,
			`func f() (err error) { do(func() { defer func() { err = g() }() }); return err }`},
		"in a function literal": {1,
			`func f() (err error) { return do(func() error { e, err := k(); h(e); defer func() { err = ` +
				`errors.Join(err, g()) }(); return err }) }`},
		"another name": {1,
			`func f() error { failed := g(); defer func() { failed = errors.Join(failed, g()) }(); return failed }`},
		"a named one of its own": {0,
			`func f() error { return do(func() (err error) { defer func() { err = errors.Join(err, g()) }(); ` +
				`return g() }) }`},
	} {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "x.go", "package p\nimport \"errors\"\n"+c.text, 0)
		require.NoError(t, err)
		require.Len(t, lostErrors(fset, []*ast.File{f}), c.lost, name)
	}
}
