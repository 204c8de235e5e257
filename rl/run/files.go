package run

import (
	"os"
	"path/filepath"
	"slices"
)

// Names inside a run folder; see docs/files.md.
const (
	ConfigFile     = "config.yaml"
	InfoFile       = "run.json"
	MetricsFile    = "metrics.jsonl"
	SamplesFile    = "samples.jsonl.zst"
	CheckpointsDir = "checkpoints"
	AdapterFile    = "adapter.gguf"
	BestFile       = "best.gguf" // the best adapter of a stage that has one beside its last
	ResultFile     = "result.json"
	ReferenceFile  = "reference.jsonl.zst" // what the reference policy says of a dpo stage's answers
	ItemsDir       = "items"               // of an evaluation
	lockFile       = "lock"
)

// Versions of the formats. A file of another version is refused, or made again where that is
// possible; that of a checkpoint is beside its layout.
const (
	ResultVersion  = 1 // of result.json
	OutcomeVersion = 1 // of the outcome of one measurement, items/*.json
	JournalVersion = 1 // of the answers of one that goes on, items/*.part
)

// ExperimentFile is what an experiment writes beside the folders of its stages, besides reports.
const ExperimentFile = "experiment.yaml"

// Files names everything that a run writes into its folder, its result first: what a fresh
// start removes. The lock stays; it is held meanwhile.
func Files() []string {
	return slices.Concat([]string{
		ResultFile, AdapterFile, BestFile, CheckpointsDir, SamplesFile, MetricsFile, ReferenceFile, ItemsDir,
		JudgedFile, JudgementsFile, CandidatesFile, AskedFile, ConfigFile, InfoFile,
	}, ReportFiles())
}

// ReportFiles names the reports that are written into a folder of runs unless told otherwise.
func ReportFiles() []string {
	return []string{"report.html", "report.json", "compare.html", "compare.json"}
}

// Exists tells whether a file, or a folder, of a run is there.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// HasResult tells whether a run folder has its result.
func HasResult(dir string) bool { return Exists(filepath.Join(dir, ResultFile)) }

// HasCheckpoint tells whether a run folder has a checkpoint to go on from.
func HasCheckpoint(dir string) bool {
	entries, _ := os.ReadDir(filepath.Join(dir, CheckpointsDir)) // none without the folder
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		_, ok := parseStep(e.Name())
		return ok
	})
}
