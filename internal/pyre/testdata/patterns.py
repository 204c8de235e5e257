import json, re, sys
S = ["The answer is (B). the answer is C.", "a1b22 c333", "été naïve word_1", "x\ny\nz\n", "", "aaa", "नमस्ते दुनिया", "'a' \"b c\" [x] {y}",
     "#### 1,234\n#### -5.6", "a,b;c  d", "Line\x1cbreak here"]
P = [r"(?<=[Aa]nswer is )\(?([A-Z])\)?", r"\d+", r"\w+", r"\b(\w)", r"^.", r"(?m)^.$", r"x*", r"a*?", r"(a)|(b)", r"\s+", r"[\w']+",
     r"#### (\-?[0-9\.\,]+)", r"[,;\s]\s*", r"(?P<q>['\"])(.*?)(?P=q)", r"(.)\1", r"\S+", r"[^\s]+$", r"(?i)THE", r"\[\s*([^\]]*?)\s*\]", r"[]x]", r"\Bn", r"z\Z", r"(?s)x.y", r"(?<!a)\d"]
out = []
for p in P:
    for s in S:
        r = re.compile(p)
        m = r.match(s); f = r.fullmatch(s)
        fa = r.findall(s)
        out.append({"p": p, "s": s, "findall": [list(x) if isinstance(x, tuple) else [x] for x in fa], "sub": r.sub("<\\g<0>>", s), "sub1": r.sub("-", s, count=1),
                    "split": r.split(s), "match": m and [m.start(), m.end()], "full": bool(f)})
json.dump({"cases": out, "escape": re.escape("a.b*c [x] é-#~&/\n_")}, sys.stdout)
