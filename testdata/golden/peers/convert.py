"""Tiny checkpoints as transformers writes them, what llama.cpp's converter makes of them, and their log-probabilities.

    python make.py LLAMA_CPP OUT

LLAMA_CPP is vendor/llama.cpp of PyPI's llama-cpp-python source; OUT is testdata/golden/convert.
Needs torch, transformers, sentencepiece, gguf. Weights are random with fixed seeds.
"""
import gzip, tarfile, runpy, hashlib, json, math, os, shutil, subprocess, sys, tempfile, io
from pathlib import Path

LLAMA, OUT = Path(sys.argv[1]), Path(sys.argv[2])
ONLY = set(sys.argv[3:])
sys.path.insert(0, str(LLAMA)); sys.path.insert(0, str(LLAMA / "gguf-py"))
import torch, transformers, tokenizers, sentencepiece, gguf, conversion, conversion.base
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers, processors, normalizers, AddedToken, Regex
torch.set_num_threads(1)

TEXT = ["The ship lay at anchor, and the men who had been ashore came back one by one.",
        "It's 12 o'clock: we'll have 3456 apples, won't we? (Perhaps not.)", "Größe, façade, наука и жизнь, 東京の空",
        "def f(x):\n    return x * 2  # twice\n", "to be or not to be, that is the question", "  spaces   and\ttabs \n\n"] * 4

MORE = ["I'LL say 1234567, you're right.", "Ünïcödé ± 3/4 😀 naïve\n\n\n  end", "a  b   c\t\td", "can't WON'T they've"]

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}"
          r"\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?"
         r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|"
         r"\s*[\r\n]+|\s+(?!\S)|\s+")

def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated", invert=False),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])

def digits():
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])

TEMPLATE = ("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")

def bpe(dir, pre, specials, n=300, extra=(), ignore_merges=False, bos=None, normalizer=None, merges_as_strings=False, config=None, **kw):
    """A byte-level BPE tokenizer.json and a tokenizer_config.json as model repositories have them."""
    t = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer: t.normalizer = normalizer
    t.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=n, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in specials])
    if extra: t.add_tokens([AddedToken(s, special=False, normalized=False) for s in extra])
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    if bos:
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, t.token_to_id(bos))])])
    j = json.loads(t.to_str())
    if merges_as_strings: j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
    (dir / "tokenizer.json").write_text(json.dumps(j, ensure_ascii=False, indent=1))
    write_config(dir, [a for a in j["added_tokens"]], config or {})
    return t

def write_config(dir, added, config):
    dec = {str(a["id"]): {k: a[k] for k in ("content", "lstrip", "normalized", "rstrip", "single_word", "special")} for a in added}
    c = {"added_tokens_decoder": dec, "clean_up_tokenization_spaces": False, "model_max_length": 512, **config}
    (dir / "tokenizer_config.json").write_text(json.dumps(c, ensure_ascii=False, indent=1))

def spm(dir, n=330, specials=("<s>", "</s>"), pad=False, extra=(), controls=(), config=None, keep_json=True, keep_model=True, cls="LlamaTokenizerFast", gemma=False):
    """A SentencePiece tokenizer.model (BPE, byte fallback), with the tokenizer.json that transformers makes of it."""
    text = dir / "text"; text.write_text("\n".join(TEXT))
    a = dict(unk_id=0, bos_id=1, eos_id=2, pad_id=-1)
    if gemma: a = dict(pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>")
    os.chdir(dir)  # the model holds the paths it is given
    sentencepiece.SentencePieceTrainer.train(input="text", model_prefix="tokenizer", vocab_size=n, model_type="bpe",
        byte_fallback=True, character_coverage=0.99, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        add_dummy_prefix=not gemma, user_defined_symbols=list(extra), control_symbols=list(controls), hard_vocab_limit=False, minloglevel=2, num_threads=1, **a)
    text.unlink(); (dir / "tokenizer.vocab").unlink()

def spm_json(dir, added, pieces, gemma=False):
    """tokenizer.json of a SentencePiece BPE model, in the form that transformers 4 wrote."""
    sp = sentencepiece.SentencePieceProcessor(); sp.Load(str(dir / "tokenizer.model"))
    vocab = {sp.IdToPiece(i): i for i in range(sp.GetPieceSize())}
    scores = {sp.IdToPiece(i): sp.GetScore(i) for i in range(sp.GetPieceSize())}
    merges = []
    for p, s in sorted(((p, s) for p, s in scores.items() if len(p) > 1 and not sp.IsByte(vocab[p]) and not sp.IsControl(vocab[p]) and not sp.IsUnknown(vocab[p])), key=lambda x: -x[1]):
        for k in range(1, len(p)):
            if p[:k] in vocab and p[k:] in vocab: merges.append(f"{p[:k]} {p[k:]}")
    norm = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"} if gemma else {"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    bos = "<bos>" if gemma else "<s>"
    ids = {**vocab, **{a["content"]: a["id"] for a in added}}
    j = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": norm, "pre_tokenizer": None,
         "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": bos, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [ids[bos]], "tokens": [bos]}}},
         "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}] +
            ([] if gemma else [{"type": "Strip", "content": " ", "start": 1, "stop": 0}])},
         "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": True,
            "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": merges}}
    (dir / "tokenizer.json").write_text(json.dumps(j, ensure_ascii=False, indent=1))

def tok(i, s, special=True): return {"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}

def pieces(dir):
    sp = sentencepiece.SentencePieceProcessor(); sp.Load(str(dir / "tokenizer.model")); return sp.GetPieceSize()

BASE = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512)

CASES = {}
def case(f): CASES[f.__name__] = f; return f

@case
def llama3(d):  # sharded, Llama 3's frequency factors, tied, eos list, several templates
    bpe(d, split(LLAMA3), ["<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"], ignore_merges=True, bos="<|begin_of_text|>",
        config=dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", chat_template=TEMPLATE))
    c = transformers.LlamaConfig(**BASE, vocab_size=304, tie_word_embeddings=True, bos_token_id=300, eos_token_id=[301, 302, 303], rms_norm_eps=1e-5,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=128))
    return c, dict(pre="llama-bpe", shards="30KB", gen=dict(bos_token_id=300, eos_token_id=[301, 302, 303], temperature=0.6, top_p=0.9, do_sample=True))

@case
def smollm(d):  # llama with untied output, digits one by one, merges as strings, named templates
    bpe(d, digits(), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], merges_as_strings=True,
        config=dict(tokenizer_class="GPT2Tokenizer", bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>", unk_token="<|endoftext|>",
            add_prefix_space=False, chat_template=[dict(name="default", template=TEMPLATE), dict(name="tool_use", template="tools: " + TEMPLATE)]))
    c = transformers.LlamaConfig(**BASE, vocab_size=303, tie_word_embeddings=False, bos_token_id=301, eos_token_id=302, pad_token_id=302, rms_norm_eps=1e-5,
        rope_parameters=dict(rope_type="default", rope_theta=100000.0))
    return c, dict(pre="smollm", dtype=torch.float32)

@case
def llama2(d):  # SentencePiece with tokenizer.model, linear scaling, f16, an added token beyond the model's pieces
    spm(d); n = pieces(d)
    added = [tok(0, "<unk>"), tok(1, "<s>"), tok(2, "</s>"), tok(n, "<pad>"), tok(n + 1, "[ADDED]", False)]
    spm_json(d, added, n); write_config(d, added, dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", pad_token="<pad>", legacy=False, chat_template=TEMPLATE))
    c = transformers.LlamaConfig(**BASE, vocab_size=n + 6, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-6,
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0))
    return c, dict(dtype=torch.float16)

@case
def llama_json(d):  # SentencePiece-like, tokenizer.json alone
    spm(d); n = pieces(d)
    added = [tok(0, "<unk>"), tok(1, "<s>"), tok(2, "</s>"), tok(n, "<|user|>", True), tok(n + 1, "<note>", False)]
    spm_json(d, added, n); (d / "tokenizer.model").unlink()
    write_config(d, added, dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<s>", eos_token="</s>", unk_token="<unk>", add_bos_token=True, add_eos_token=False))
    (d / "chat_template.jinja").write_text(TEMPLATE)
    c = transformers.LlamaConfig(**BASE, vocab_size=n + 2, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-6)
    return c, dict()

@case
def mistral(d):  # llama architecture, SentencePiece
    spm(d, controls=("[INST]", "[/INST]")); n = pieces(d)
    sp = sentencepiece.SentencePieceProcessor(); sp.Load(str(d / "tokenizer.model"))
    added = [tok(0, "<unk>"), tok(1, "<s>"), tok(2, "</s>"), tok(sp.PieceToId("[INST]"), "[INST]"), tok(sp.PieceToId("[/INST]"), "[/INST]")]
    spm_json(d, added, n); write_config(d, added, dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        add_prefix_space=True, chat_template=TEMPLATE))
    c = transformers.MistralConfig(**BASE, head_dim=16, vocab_size=n, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-5, sliding_window=None,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    return c, dict()

def qwen_tokens(d, **kw):
    bpe(d, split(QWEN2), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], extra=["<tool_call>", "</tool_call>"], normalizer=normalizers.NFC(),
        config=dict(tokenizer_class="Qwen2Tokenizer", add_bos_token=False, add_prefix_space=False, bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>",
            unk_token=None, chat_template=TEMPLATE), **kw)

@case
def qwen2(d):  # biases, YaRN, more rows than tokens
    qwen_tokens(d)
    c = transformers.Qwen2Config(**BASE, vocab_size=320, tie_word_embeddings=False, bos_token_id=300, eos_token_id=302, rms_norm_eps=1e-6,
        rope_parameters=dict(rope_type="yarn", rope_theta=1000000.0, factor=4.0, original_max_position_embeddings=128))
    return c, dict(pre="qwen2", gen=dict(eos_token_id=[302, 300], pad_token_id=300, repetition_penalty=1.05, temperature=0.7, top_k=20, top_p=0.8, do_sample=True))

@case
def qwen3(d):  # norms of q and k, head width, tied
    qwen_tokens(d)
    c = transformers.Qwen3Config(**BASE, head_dim=16, vocab_size=312, tie_word_embeddings=True, bos_token_id=300, eos_token_id=302, rms_norm_eps=1e-6,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
    return c, dict(pre="qwen2")

def gemma_tokens(d, n=330):
    spm(d, n, gemma=True, extra=("<start_of_turn>", "<end_of_turn>", "<unused0>", "▁▁▁▁")); n = pieces(d)
    sp = sentencepiece.SentencePieceProcessor(); sp.Load(str(d / "tokenizer.model")); i = sp.PieceToId
    added = [tok(0, "<pad>"), tok(1, "<eos>"), tok(2, "<bos>"), tok(3, "<unk>"), tok(i("<start_of_turn>"), "<start_of_turn>"), tok(i("<end_of_turn>"), "<end_of_turn>"),
             tok(i("<unused0>"), "<unused0>", False), tok(i("▁▁▁▁"), "▁▁▁▁", False)]
    added.sort(key=lambda a: a["id"])
    spm_json(d, added, n, gemma=True)
    write_config(d, added, dict(tokenizer_class="GemmaTokenizer", add_bos_token=True, add_eos_token=False, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>",
        chat_template=TEMPLATE))
    return n

@case
def gemma(d):
    n = gemma_tokens(d)
    return transformers.GemmaConfig(**BASE, head_dim=16, vocab_size=n, bos_token_id=2, eos_token_id=1, pad_token_id=0, rms_norm_eps=1e-6), dict()

@case
def gemma2(d):
    n = gemma_tokens(d)
    return transformers.Gemma2Config(**BASE, head_dim=16, query_pre_attn_scalar=16, sliding_window=20, vocab_size=n, bos_token_id=2, eos_token_id=1, pad_token_id=0, rms_norm_eps=1e-6), dict()

@case
def gemma3(d):  # a text model, with rows beyond the vocabulary
    n = gemma_tokens(d)
    return transformers.Gemma3TextConfig(**{**BASE, "num_hidden_layers": 3}, head_dim=16, query_pre_attn_scalar=16, sliding_window=16, vocab_size=n + 8, bos_token_id=2, eos_token_id=[1, 5], pad_token_id=0, rms_norm_eps=1e-6), dict(
        gen=dict(eos_token_id=[1, 5], top_k=64, top_p=0.95, do_sample=True))

@case
def gemma3_image(d):  # the text part of a model that also sees, old configuration keys
    n = gemma_tokens(d)
    t = transformers.Gemma3TextConfig(**{**BASE, "num_hidden_layers": 2}, head_dim=16, query_pre_attn_scalar=16, sliding_window=16, vocab_size=n, rms_norm_eps=1e-6,
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0), sliding_attention=dict(rope_type="default", rope_theta=10000.0)))
    v = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8, num_channels=3, model_type="siglip_vision_model")
    return transformers.Gemma3Config(text_config=t, vision_config=v, mm_tokens_per_image=4, bos_token_id=2, eos_token_id=[1, 5], pad_token_id=0, boi_token_index=6, eoi_token_index=7, image_token_index=8), dict(tokens=n)

@case
def phi3(d):  # fused, longrope
    spm(d); n = pieces(d)
    added = [tok(0, "<unk>"), tok(1, "<s>"), tok(2, "</s>", False), tok(n, "<|endoftext|>"), tok(n + 1, "<|assistant|>"), tok(n + 2, "<|end|>"), tok(n + 3, "<note>", False)]
    spm_json(d, added, n); write_config(d, added, dict(tokenizer_class="LlamaTokenizer", add_bos_token=False, add_eos_token=False, bos_token="<s>", eos_token="<|endoftext|>", unk_token="<unk>", pad_token="<|endoftext|>", chat_template=TEMPLATE))
    (d / "added_tokens.json").write_text(json.dumps({a["content"]: a["id"] for a in added[3:]}))
    f = [1.0, 1.1, 1.3, 2.5]
    c = transformers.Phi3Config(**BASE, vocab_size=n + 10, tie_word_embeddings=False, bos_token_id=1, eos_token_id=n, pad_token_id=n, rms_norm_eps=1e-5, sliding_window=262144,
        original_max_position_embeddings=128, rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, short_factor=f, long_factor=[x * 3 for x in f], original_max_position_embeddings=128))
    return c, dict(gen=dict(bos_token_id=1, eos_token_id=[n, n + 1, n + 2], pad_token_id=n))

@case
def phi4(d):  # the same architecture with a byte-level tokenizer
    bpe(d, split(LLAMA3), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], config=dict(tokenizer_class="GPT2Tokenizer", add_prefix_space=False, bos_token="<|endoftext|>", eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>", chat_template=TEMPLATE))
    c = transformers.Phi3Config(**BASE, vocab_size=304, tie_word_embeddings=False, bos_token_id=300, eos_token_id=302, pad_token_id=300, rms_norm_eps=1e-5, sliding_window=None,
        original_max_position_embeddings=512)
    return c, dict(pre="dbrx")

@case
def phi4_mini(d):  # partial rotation, tied, GPT-4o's pre-tokenizer
    bpe(d, split(GPT4O), ["<|endoftext|>", "<|end|>", "<|user|>"], config=dict(tokenizer_class="GPT2Tokenizer", add_prefix_space=False, add_bos_token=False, add_eos_token=False, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>", chat_template=TEMPLATE))
    f = [1.0, 1.2, 1.5]
    c = transformers.Phi3Config(**BASE, vocab_size=303, tie_word_embeddings=True, bos_token_id=300, eos_token_id=300, pad_token_id=300, rms_norm_eps=1e-5, sliding_window=None, partial_rotary_factor=0.75,
        original_max_position_embeddings=128, rope_parameters=dict(rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75, short_factor=f, long_factor=f[::-1], original_max_position_embeddings=128))
    return c, dict(pre="gpt-4o", gen=dict(eos_token_id=[301, 300]))

@case
def granite(d):
    bpe(d, digits(), ["<|end_of_text|>", "<fim_prefix>", "<|start_of_role|>", "<|end_of_role|>"], config=dict(tokenizer_class="GPT2Tokenizer", add_prefix_space=False, add_bos_token=False, bos_token="<|end_of_text|>", eos_token="<|end_of_text|>", pad_token="<|end_of_text|>", unk_token="<|end_of_text|>", chat_template=TEMPLATE))
    c = transformers.GraniteConfig(**BASE, vocab_size=304, tie_word_embeddings=True, bos_token_id=300, eos_token_id=300, pad_token_id=300, rms_norm_eps=1e-5,
        embedding_multiplier=12.0, residual_multiplier=0.22, attention_multiplier=0.125, logits_scaling=4.0, rope_parameters=dict(rope_type="default", rope_theta=10000.0))
    return c, dict(pre="refact")

@case
def olmo2(d):
    bpe(d, split(LLAMA3), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], config=dict(tokenizer_class="GPT2Tokenizer", add_prefix_space=False, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>", chat_template=TEMPLATE))
    c = transformers.Olmo2Config(**BASE, vocab_size=304, tie_word_embeddings=False, bos_token_id=300, eos_token_id=300, pad_token_id=301, rms_norm_eps=1e-6, rope_parameters=dict(rope_type="default", rope_theta=500000.0))
    return c, dict(pre="dbrx")

@case
def olmo3(d):
    bpe(d, split(LLAMA3), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], config=dict(tokenizer_class="GPT2Tokenizer", add_prefix_space=False, bos_token="<|endoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>", chat_template=TEMPLATE))
    c = transformers.Olmo3Config(**{**BASE, "num_hidden_layers": 4}, vocab_size=304, tie_word_embeddings=False, bos_token_id=300, eos_token_id=300, pad_token_id=301, rms_norm_eps=1e-6, sliding_window=16,
        rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=500000.0), full_attention=dict(rope_type="yarn", rope_theta=500000.0,
            factor=8.0, original_max_position_embeddings=64, attention_factor=1.2079441541679836, beta_fast=32.0, beta_slow=1.0)))
    return c, dict(pre="dbrx")

@case
def smollm3(d):
    bpe(d, split(LLAMA3), ["<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>"], ignore_merges=True, config=dict(tokenizer_class="PreTrainedTokenizerFast", bos_token=None, eos_token="<|im_end|>", pad_token="<|im_end|>"))
    (d / "chat_template.jinja").write_text(TEMPLATE)
    c = transformers.SmolLM3Config(**{**BASE, "num_hidden_layers": 4}, vocab_size=304, tie_word_embeddings=True, bos_token_id=300, eos_token_id=303, pad_token_id=303, rms_norm_eps=1e-6, use_sliding_window=False,
        no_rope_layer_interval=4, rope_parameters=dict(rope_type="default", rope_theta=2000000.0))
    return c, dict(pre="llama-bpe", gen=dict(bos_token_id=300, eos_token_id=303, temperature=0.6, top_p=0.95, do_sample=True))

def tekken_tokens(d):
    bpe(d, split(TEKKEN), ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], ignore_merges=True, bos="<s>",
        config=dict(tokenizer_class="PreTrainedTokenizerFast", add_bos_token=True, add_eos_token=False, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>", chat_template=TEMPLATE))

@case
def ministral(d):  # Ministral 3, text alone: YaRN with Mistral's keys
    tekken_tokens(d)
    c = transformers.Ministral3Config(**BASE, head_dim=16, vocab_size=305, tie_word_embeddings=True, bos_token_id=301, eos_token_id=302, pad_token_id=302, rms_norm_eps=1e-5,
        rope_parameters=dict(rope_type="yarn", rope_theta=1000000.0, factor=4.0, original_max_position_embeddings=128, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1))
    return c, dict(pre="tekken")

@case
def mistral3(d):  # Mistral Small 3.1: the text part of a model that also sees
    tekken_tokens(d)
    t = transformers.MistralConfig(**BASE, head_dim=16, vocab_size=305, tie_word_embeddings=False, rms_norm_eps=1e-5, sliding_window=None, rope_parameters=dict(rope_type="default", rope_theta=1000000000.0))
    v = dict(model_type="pixtral", hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, head_dim=8, image_size=16, patch_size=8, num_channels=3)
    c = transformers.Mistral3Config(text_config=t, vision_config=v, image_token_index=10, spatial_merge_size=2, bos_token_id=301, eos_token_id=302)
    return c, dict(pre="tekken")

def model_class(c):
    name = type(c).__name__
    return getattr(transformers, {"Gemma3TextConfig": "Gemma3ForCausalLM", "Gemma3Config": "Gemma3ForConditionalGeneration", "Mistral3Config": "Mistral3ForConditionalGeneration"}.get(name, name.replace("Config", "ForCausalLM")))

def randomise(m, seed, whole):
    g = torch.Generator().manual_seed(seed)
    gemma = "Gemma" in type(m).__name__
    with torch.no_grad():
        for n, p in m.named_parameters():
            x = torch.randn(p.shape, generator=g)
            if "norm" in n and p.dim() == 1: p.copy_(x * .25 + (0 if gemma and "vision" not in n else 1))
            elif n.endswith("bias"): p.copy_(x * .3)
            elif "embed" in n: p.copy_(x * (1 / math.sqrt(p.shape[-1]) if gemma or m.config.get_text_config().tie_word_embeddings else 1))
            else: p.copy_(x * 1.5 / math.sqrt(p.shape[-1]))
            if not whole: p.copy_(short(p.float()))

def converted(d, pre, kind, work):
    out = work / f"{kind}.gguf"
    pid = os.fork()
    if pid == 0:  # llama.cpp's program as it is; the name of the pre-tokenizer alone is given, which it knows by a hash of ids
        log = os.open(work / "log", os.O_CREAT | os.O_TRUNC | os.O_WRONLY); os.dup2(log, 1); os.dup2(log, 2)
        if pre != "-": conversion.base.TextModel.get_vocab_base_pre = lambda self, tok: pre
        sys.argv = ["convert_hf_to_gguf.py", str(d), "--outtype", kind, "--outfile", str(out)]
        try: runpy.run_path(str(LLAMA / "convert_hf_to_gguf.py"), run_name="__main__")
        except SystemExit as e: os._exit(e.code or 0)
        except BaseException: import traceback; traceback.print_exc(); os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]: print((work / "log").read_text()[-3000:]); raise SystemExit(f"llama.cpp's converter failed: {d.name}")
    rd = gguf.GGUFReader(out)
    meta = {}
    for k, f in rd.fields.items():
        if k.startswith("GGUF."): continue
        meta[k] = dict(type="array of " + f.types[1].name.lower() if len(f.types) > 1 else f.types[0].name.lower(), value=f.contents())
    tensors = [dict(name=t.name, type=t.tensor_type.name, dims=[int(x) for x in t.shape], sha256=hashlib.sha256(t.data.tobytes()).hexdigest()) for t in rd.tensors]
    return meta, tensors

def short(x):  # four bits of mantissa: it packs to half
    return (x.view(torch.int32) + 0x40000 & ~0x7ffff).view(torch.float32)

def pack(d, path):
    with open(path, "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0, compresslevel=9) as z, tarfile.open(fileobj=z, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for p in sorted(d.iterdir()):
            i = tarfile.TarInfo(p.name); i.size = p.stat().st_size
            t.addfile(i, io.BytesIO(p.read_bytes()))

def main():
    work = Path(tempfile.mkdtemp())
    for seed, (name, make) in enumerate(CASES.items()):
        if ONLY and name not in ONLY: continue
        OUT.mkdir(parents=True, exist_ok=True); d = work / name; d.mkdir()
        c, o = make(d)
        m = model_class(c)._from_config(c, attn_implementation="eager").eval()
        randomise(m, 700 + seed, o.get('dtype') == torch.float32)
        m = m.to(o.get("dtype", torch.bfloat16))
        if g := o.get("gen"): m.generation_config = transformers.GenerationConfig(**g)
        m.save_pretrained(d, max_shard_size=o.get("shards", "5GB"))
        meta, tensors = converted(d, o.get("pre", "-"), "f32", work)
        kinds = {"f32": tensors}
        for k in ("f16", "bf16"):
            mk, kinds[k] = converted(d, o.get("pre", "-"), k, work)
        text = c.get_text_config()
        m = model_class(c).from_pretrained(d, dtype=torch.float32, attn_implementation="eager").eval()
        g = torch.Generator().manual_seed(seed)
        seqs = []
        for n in (7, 40, 60):
            ids = torch.randint(0, min(300, text.vocab_size), (1, n), generator=g)
            with torch.no_grad(): lp = torch.log_softmax(m(input_ids=ids).logits[0].float(), -1)
            seqs.append(dict(ids=ids[0].tolist(), logprobs=[float(f"{lp[t, ids[0, t + 1]]:.8g}") for t in range(n - 1)]))
        # Ids of texts by the checkpoint's own tokenizer, with nothing put around them.
        fast = Tokenizer.from_file(str(d / "tokenizer.json"))
        encode = lambda x: fast.encode(x, add_special_tokens=False).ids
        if (d / "tokenizer.model").exists():
            sp = sentencepiece.SentencePieceProcessor(); sp.Load(str(d / "tokenizer.model"))
            encode = sp.EncodeAsIds
        texts = [dict(text=x, ids=encode(x)) for x in TEXT[:6] + MORE]
        with open(OUT / f"{name}.json.gz", "wb") as f, gzip.GzipFile(fileobj=f, mode="wb", mtime=0) as z:
            z.write(json.dumps(dict(versions=dict(transformers=transformers.__version__, torch=torch.__version__), metadata=meta, tensors=kinds, sequences=seqs, texts=texts), ensure_ascii=False).encode())
        pack(d, OUT / f"{name}.tar.gz")
        print(name, len(tensors), (OUT / f"{name}.tar.gz").stat().st_size, flush=True)

main()
