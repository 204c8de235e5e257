package plan

import (
	"context"
	"fmt"

	"steer/app/workspace"
	"steer/ggml"
	"steer/internal/machine"
)

// memoryOfPlans names the memory that plans in this workspace are of first: see StagePlan.Memory.
func memoryOfPlans(w *workspace.Workspace) string {
	if w.OnGPU() {
		return w.Device()
	}
	return HostMemory
}

// trial adds what a GPU takes that no layout tells: what was there when the device was
// opened, and what a short trial of the stage's own passes and largest session takes besides
// the buffers planned. A stage is tried once: smaller batches of it take no more. The program's
// part of the host's memory is looked at after it, when CUDA's libraries have loaded what they need.
func (pl *Planner) trial(ctx context.Context, r *rehearsal, p *Stage) error {
	w := pl.w
	mem, err := w.DeviceMemory()
	if err != nil {
		return err
	}
	workspaces, tried := pl.tried[p.Stage]
	if !tried {
		d := ggml.Decoding{Session: p.rollout.opt, Tokens: p.rollout.tokens, Outputs: p.rollout.outputs}
		if workspaces, err = w.Model.PlanWorkspaces(ctx, r.longest(), d); err != nil {
			return err
		}
		if pl.tried == nil {
			pl.tried = map[string]int64{}
		}
		pl.tried[p.Stage] = workspaces
	}
	p.add(BufferContext, mem.Opened, "CUDA's context, and what other programs hold")
	p.add(BufferWorkspaces, workspaces, "code of kernels, cuBLAS, decoding (measured)")
	now, err := machine.MemoryOf(w.Model.Info().Path)
	if err != nil {
		return err
	}
	program := max(pl.empty.Own, now.Own-max(0, machine.GoBytes()-pl.empty.Go))
	p.addHost(BufferProgram, program, "steer, Go, the vocabulary, CUDA's libraries")
	return nil
}

// limits is what a stage may come to hold of p.Memory and, where that is a GPU's, of the
// host's; 0 where it cannot be told. MemoryLimit.Bytes bounds the former.
func limits(w *workspace.Workspace, l machine.MemoryLimit) (memory, host int64, err error) {
	if !w.OnGPU() {
		return l.Limit(), 0, nil
	}
	mem, err := w.DeviceMemory()
	if err != nil {
		return 0, 0, fmt.Errorf("the memory of %s: %w", w.Device(), err)
	}
	memory = mem.Total // a plan counts what is in use already
	if l.Bytes > 0 {
		memory = int64(l.Bytes)
	}
	return memory, machine.MemoryLimit{}.Limit(), nil
}
