// Package dpo steers by preferences without a reward model and without sampling: DPO (Rafailov et al. 2023,
// arXiv:2305.18290) and its family on pairs, KTO on single answers with a thumb, ORPO and SimPO without a
// reference policy. One trainer; a loss is a pure function of log-probabilities with its formula on top.
//
// It may import rl/train (the loop), rl/run (run folders), rl/data, ggml/lm and ggml/adapter, as the other
// trainers do. app/jobs opens what it works on. TRL's names are kept for losses and metrics; docs/dpo.md
// lists what differs.
package dpo
