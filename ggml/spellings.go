package ggml

import (
	"slices"
	"strings"
	"sync"
)

// spelling is a text and how it is encoded.
type spelling struct {
	text         string
	parseSpecial bool
}

// spellings remembers the tokens of texts. libllama's tokenizer compiles its expressions anew
// for every text, and the same texts are asked for often: the pieces of a template before
// every segment, all data in the rehearsal of a stage and in the stage, the items of a
// benchmark for every model.
//
// Two generations bound it: when the young one is full it becomes the old one, and what was
// not asked for again goes.
type spellings struct {
	mu         sync.Mutex
	young, old map[spelling][]int32
	bytes      int // of the young ones
	most       int // bytes of a generation; 0: mostSpelled
}

// mostSpelled bounds a generation, in bytes of texts and tokens.
const mostSpelled = 24 << 20

func (s *spellings) get(of spelling) ([]int32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tokens, ok := s.young[of]
	if !ok {
		if tokens, ok = s.old[of]; ok {
			s.keep(of, tokens)
		}
	}
	return slices.Clone(tokens), ok
}

// put keeps a copy: the text may be part of a larger one, which would stay in memory. One
// that is long beside the bound is not kept.
func (s *spellings) put(of spelling, tokens []int32) {
	if size(of, tokens) > s.bound()/4 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	of.text = strings.Clone(of.text)
	s.keep(of, slices.Clone(tokens))
}

// size is what an entry takes, in bytes, that of the map roughly.
func size(of spelling, tokens []int32) int { return len(of.text) + 4*len(tokens) + 96 }

func (s *spellings) bound() int {
	if s.most == 0 {
		return mostSpelled
	}
	return s.most
}

func (s *spellings) keep(of spelling, tokens []int32) {
	size := size(of, tokens)
	if s.bytes+size > s.bound() {
		s.old, s.young, s.bytes = s.young, nil, 0
	}
	if s.young == nil {
		s.young = map[spelling][]int32{}
	}
	s.young[of] = tokens
	s.bytes += size
}

func (s *spellings) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.young, s.old, s.bytes = nil, nil, 0
}
