// Package cgroup reads what the control groups of this process (Linux: containers, systemd,
// Slurm) leave it of memory and CPUs, in both versions, through every group up to the root.
//
// It imports nothing of this module; internal/machine puts what it says together with the rest of the machine.
package cgroup
