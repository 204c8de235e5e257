// Package report turns run folders into one page that people can read and other
// programs can check: HTML, JSON, Markdown, CSV and a small text table.
//
// It reads files only (metrics.jsonl, result.json, config.yaml; docs/report.md
// fixes their form), never a model, so a report can be made again anywhere from
// the folders alone. The same files give the same bytes.
//
// [Load] reads folders into a [Report]; the Write functions print it. Whatever is
// missing is named in the report and the rest is shown; a result file of another
// version, or one that contradicts itself, is an error that names file and field.
//
//	r, err := report.Load("runs/demo")
//	if err != nil {
//		return err
//	}
//	return report.WriteHTML(file, r)
//
// Sentences in the report are made from numbers by fixed rules (verdict.go) that
// never say more than a 95 % interval does: a difference is claimed only where its
// interval excludes 0, and "no difference was shown" never becomes "equal".
package report
