package data

import (
	"fmt"
	"slices"
)

// Format names a file format. Its values are the words of configuration files.
type Format string

// The formats. Where a release has a fixed file name it is given.
const (
	FormatAuto Format = "auto" // recognise by content, see Detect

	FormatDeontology       Format = "ethics-deontology"        // deontology_{train,test}.csv
	FormatUtilitarianism   Format = "ethics-utilitarianism"    // util_{train,test}.csv, no header
	FormatVirtue           Format = "ethics-virtue"            // virtue_{train,test}.csv
	FormatJustice          Format = "ethics-justice"           // justice_{train,test}.csv
	FormatCommonsense      Format = "ethics-commonsense"       // cm_{train,test}.csv
	FormatCommonsenseAmbig Format = "ethics-commonsense-ambig" // cm_ambig.csv, no header

	FormatHH              Format = "hh-rlhf"         // {train,test}.jsonl.gz
	FormatGuanaco         Format = "guanaco"         // openassistant_best_replies_*.jsonl
	FormatGuanacoParquet  Format = "guanaco-parquet" // train-*.parquet, "<s>[INST]" text
	FormatChat            Format = "chat"            // {"messages": [...]}
	FormatShareGPT        Format = "sharegpt"        // {"conversations": [{"from", "value"}]}
	FormatAlpaca          Format = "alpaca"          // {"instruction", "input"?, "output"}
	FormatCompletion      Format = "completion"      // {"prompt", "completion" or "response"}
	FormatPrompts         Format = "prompts"         // {"prompt"}
	FormatPairs           Format = "pairs"           // {"prompt"?, "chosen", "rejected"}
	FormatKTO             Format = "kto"             // {"prompt", "completion", "label"}
	FormatRanked          Format = "ranked"          // {"prompt", "responses", "scores"}
	FormatTokens          Format = "tokens"          // {"ids", "mask"?}
	FormatTokenPairs      Format = "token-pairs"     // {"chosen_ids", "rejected_ids"}
	FormatAnecdotes       Format = "scruples-anecdotes"
	FormatDilemmas        Format = "scruples-dilemmas"
	FormatLabelCounts     Format = "scruples-label-counts"
	FormatToxiGen         Format = "toxigen"            // annotated_{train,test}.csv
	FormatSafeNLP         Format = "toxigen-safenlp"    // toxiGen.json
	FormatWSC             Format = "wsc-xml"            // WSCollection.xml
	FormatPartial         Format = "partial-evaluation" // winograd_wsc.jsonl, winogrande.jsonl
	FormatWinoGrande      Format = "winogrande"         // {train_*,dev}.jsonl
	FormatWinoBias        Format = "winobias"           // {pro,anti}_stereotyped_type{1,2}.txt.{dev,test}
	FormatWinogender      Format = "winogender"         // all_sentences.tsv
	FormatWinogenderTempl Format = "winogender-templates"
	FormatWinogenderStats Format = "winogender-occupations"
	FormatCrowSPairs      Format = "crows-pairs" // crows_pairs_anonymized.csv
	FormatText            Format = "text"        // any text; never recognised, has to be named
)

// formatTitles describes each format in a line; its order is that of Values.
var formatTitles = []struct {
	format Format
	title  string
}{
	{FormatAuto, "recognised by content"},
	{FormatDeontology, "ETHICS deontology CSV (label,scenario,excuse)"},
	{FormatUtilitarianism, "ETHICS utilitarianism CSV (two columns, no header)"},
	{FormatVirtue, "ETHICS virtue CSV (label,scenario with \" [SEP] \")"},
	{FormatJustice, "ETHICS justice CSV (label,scenario)"},
	{FormatCommonsense, "ETHICS commonsense CSV (label,input,is_short,edited)"},
	{FormatCommonsenseAmbig, "ETHICS ambiguous commonsense CSV (one column, no header)"},
	{FormatHH, "hh-rlhf JSONL (chosen and rejected dialogues)"},
	{FormatGuanaco, "guanaco JSONL (### Human: / ### Assistant:)"},
	{FormatGuanacoParquet, "guanaco parquet (<s>[INST] ... [/INST])"},
	{FormatChat, "chat (messages)"},
	{FormatShareGPT, "ShareGPT (conversations of from and value)"},
	{FormatAlpaca, "Alpaca (instruction, input, output)"},
	{FormatCompletion, "prompt and completion"},
	{FormatPrompts, "prompts alone (prompt)"},
	{FormatPairs, "preference pairs (prompt, chosen, rejected)"},
	{FormatKTO, "labelled answers as KTO has them (prompt, completion, label)"},
	{FormatRanked, "ranked answers (prompt, responses, scores)"},
	{FormatTokens, "pre-tokenised text (ids, mask)"},
	{FormatTokenPairs, "pre-tokenised pairs (chosen_ids, rejected_ids)"},
	{FormatAnecdotes, "Scruples anecdotes JSONL"},
	{FormatDilemmas, "Scruples dilemmas JSONL"},
	{FormatLabelCounts, "Scruples label counts JSON"},
	{FormatToxiGen, "ToxiGen annotated CSV"},
	{FormatSafeNLP, "ToxiGen JSON of SafeNLP"},
	{FormatWSC, "Winograd Schema Challenge XML"},
	{FormatPartial, "partial-evaluation JSONL (context_options, continuation, gold)"},
	{FormatWinoGrande, "WinoGrande JSONL (sentence, option1, option2, answer)"},
	{FormatWinoBias, "WinoBias sentences"},
	{FormatWinogender, "Winogender sentences TSV"},
	{FormatWinogenderTempl, "Winogender templates TSV"},
	{FormatWinogenderStats, "Winogender occupation statistics TSV"},
	{FormatCrowSPairs, "CrowS-Pairs CSV (sent_more, sent_less, stereo_antistereo, bias_type)"},
	{FormatText, "plain text"},
}

// Values lists the formats, for configuration checks.
func (Format) Values() []string {
	out := make([]string, len(formatTitles))
	for i, f := range formatTitles {
		out[i] = string(f.format)
	}
	return out
}

// Title describes the format in a line.
func (f Format) Title() string {
	i := slices.IndexFunc(formatTitles, func(t struct {
		format Format
		title  string
	}) bool {
		return t.format == f
	})
	if i < 0 {
		return string(f)
	}
	return formatTitles[i].title
}

// lookalike says, for a file that is not what it was read as, what it is. It is
// empty when the file's format cannot be told or is the one that was asked for.
func lookalike(path string, asked Format) string {
	got, err := Detect(path)
	if err != nil || got == asked {
		return ""
	}
	return fmt.Sprintf("this looks like %s: set format: %s, or name the right file", got.Title(), got)
}
