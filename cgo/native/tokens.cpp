// tokens.cpp: text to token ids and back, by libllama's tokenizer. Any thread may ask: the vocabulary is only read.
#include "native.h"

int32_t steer_tokenize(const steer_model * m, const char * text, int32_t len, int32_t * tokens, int32_t max,
                       bool add_special, bool parse_special) {
    return steer::guard_lone<int32_t>(
        INT32_MIN, [&] { return llama_tokenize(m->vocab, text, len, tokens, max, add_special, parse_special); });
}

int32_t steer_detokenize(const steer_model * m, const int32_t * tokens, int32_t n, char * text, int32_t max,
                         bool special) {
    return steer::guard_lone<int32_t>(INT32_MIN, [&] {
        // Piece by piece, so that no "clean up" of spaces makes the text depend on its neighbours.
        int32_t used = 0;
        for (int32_t i = 0; i < n; i++) {
            int32_t room = max > used ? max - used : 0;
            int32_t k    = llama_token_to_piece(m->vocab, tokens[i], text + (room ? used : 0), room, 0, special);
            used += k < 0 ? -k : k;
        }
        return used <= max ? used : -used;
    });
}

int32_t steer_token_bos(const steer_model * m) { return llama_vocab_bos(m->vocab); }
int32_t steer_token_eos(const steer_model * m) { return llama_vocab_eos(m->vocab); }
bool    steer_token_is_eog(const steer_model * m, int32_t token) { return llama_vocab_is_eog(m->vocab, token); }
bool    steer_vocab_add_bos(const steer_model * m) { return llama_vocab_get_add_bos(m->vocab); }
bool    steer_has_tokenizer(const steer_model * m) { return llama_vocab_type(m->vocab) != LLAMA_VOCAB_TYPE_NONE; }
