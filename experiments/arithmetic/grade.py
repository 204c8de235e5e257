#!/usr/bin/env python3
"""Grades sums: 1 where the last number of the answer is that of the row, else 0.

A reward function of `steer grpo` and `steer ppo` (docs/reward-functions.md): it reads a line of JSON
for each answer and writes a line for each.
"""
import json
import re
import sys

for line in sys.stdin:
    question = json.loads(line)
    numbers = re.findall(r"-?\d+", question["answer"])
    right = bool(numbers) and numbers[-1] == question["fields"]["answer"]
    print(json.dumps({"id": question["id"], "score": 1 if right else 0}), flush=True)
