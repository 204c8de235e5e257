"""Writes the parquet and CSV files of this folder: what pyarrow, pandas and datasets make of
conversations. Run with pyarrow 21+ and pandas 2.3+: python make.py"""

import os

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.dirname(os.path.abspath(__file__))
chats = [
    [{"role": "user", "content": f"Question {i % 3}: é漢\n?"}, {"role": "assistant", "content": "Answer " * (i % 4 + 1)}]
    for i in range(40)
]
message = pa.struct([("role", pa.string()), ("content", pa.string())])


def write(name, table, **options):
    pq.write_table(table, os.path.join(here, name), **options)


# Lists of structs, repeated texts in dictionary pages.
write("chat-dictionary.parquet", pa.table({"messages": pa.array(chats, pa.list_(message))}),
      use_dictionary=True, compression="snappy")

# Large lists of large strings, plain pages of the second version, several row groups.
large = pa.struct([("role", pa.large_string()), ("content", pa.large_string())])
write("chat-large.parquet", pa.table({"messages": pa.array(chats, pa.large_list(large))}),
      use_dictionary=False, compression="zstd", data_page_version="2.0", row_group_size=16)

# Structs that say nothing in most rows: a column that was filled in once is there, null, everywhere.
called = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int64()),
                    ("tool_calls", pa.list_(pa.struct([("id", pa.string())])))])
rows = [[dict(m, weight=None, tool_calls=None) for m in c] for c in chats[:4]]
rows[1][1]["weight"] = 0
write("chat-nulls.parquet", pa.table({"messages": pa.array(rows, pa.list_(called)), "system": pa.array(
    [None, None, "Be kind.", None])}))

# datasets' Sequence of a dict: a struct of lists instead of a list of structs.
write("sharegpt-columns.parquet", pa.table({"conversations": pa.array(
    [{"from": ["human", "gpt"], "value": ["Hi", "Yes"]}, {"from": ["human", "gpt"], "value": ["Ho", "No"]}],
    pa.struct([("from", pa.list_(pa.string())), ("value", pa.list_(pa.string()))]))}))

# Pairs of lists of structs with a dictionary-typed column, as a categorical of pandas becomes.
write("pairs-lists.parquet", pa.table({
    "prompt": pa.array(["a", "b", "a"]).dictionary_encode(),
    "chosen": pa.array([[{"role": "assistant", "content": "good"}]] * 3, pa.list_(message)),
    "rejected": pa.array([[{"role": "assistant", "content": "bad"}]] * 3, pa.list_(message)),
    "score_chosen": pa.array([1.5, 2.0, None])}))

# KTO and ranked answers.
write("kto.parquet", pa.table({"prompt": ["a", "a", "b"], "completion": ["x", "y", "z"],
                               "label": [True, False, True]}))
write("ranked.parquet", pa.table({"prompt": ["a", "b"], "responses": [["x", "y"], ["x", "y", "z"]],
                                  "scores": pa.array([[1, 2], [3, 1, 3]], pa.list_(pa.float32()))}))

# What pandas writes: an index column without a name, True and False, doubled quotes.
frame = pd.DataFrame({"prompt": ['She said "hi",\nthen', "b"], "completion": ["x", " y "], "label": [True, False]})
frame.to_csv(os.path.join(here, "kto-pandas.csv"))
frame.to_parquet(os.path.join(here, "kto-pandas.parquet"))
