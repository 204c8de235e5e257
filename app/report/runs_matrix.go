package report

// runCells is one policy in one run: a row of the matrix taken apart.
type runCells struct {
	Policy, Run string
	Cells       []runCell
	KL, Length  *Interval
}

type runCell struct {
	Diff *Interval // nil: not compared
	Own  bool
}

// RunMatrix takes the normalised differences of the matrix apart by run; nil where there
// is one run only.
func (r *Report) RunMatrix() []runCells {
	if len(r.Runs) == 0 || r.Matrix == nil {
		return nil
	}
	var out []runCells
	for i, policy := range r.Matrix.Policies {
		if policy == r.Matrix.Reference {
			continue
		}
		for k, p := range r.parts {
			row := runCells{Policy: policy, Run: r.Runs[k].Label}
			for j, c := range p.Matrix.Norm[i] {
				cell := runCell{Own: j == r.Matrix.Own[i]}
				if c.Diff != nil {
					d := c.diff()
					cell.Diff = &d
				}
				row.Cells = append(row.Cells, cell)
			}
			if v, ok := p.Matrix.KL[policy]; ok {
				row.KL = &v
			}
			if v, ok := p.Matrix.Lengths[policy]; ok {
				row.Length = &v
			}
			out = append(out, row)
		}
	}
	return out
}
