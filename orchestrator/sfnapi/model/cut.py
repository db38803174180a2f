"""Cuts requests.json beside it out of AWS's own API model, as botocore has it.

    python3 cut.py

One operation or shape a line. Kept is what a request must be like: its members,
with ! where one must be there, in the model's order, and the constraints of each.
"""
import json
import botocore
from botocore.loaders import Loader

# What the model does not tell of how the service says that a constraint is broken, as
# it was seen to: the order of values, and sizes that are in bytes.
TOLD = {"ExecutionStatus": ["SUCCEEDED", "TIMED_OUT", "PENDING_REDRIVE", "ABORTED", "FAILED", "RUNNING"]}
BYTES = {"SensitiveData"}

model = Loader().load_service_model("stepfunctions", "service-2")
shapes, todo, operations = {}, [], {}
for name, op in model["operations"].items():
    operations[name] = op["input"]["shape"]
    todo.append(op["input"]["shape"])
while todo:
    name = todo.pop()
    if name in shapes:
        continue
    shape = model["shapes"][name]
    out = shapes[name] = {"type": shape["type"]}
    for key in ("min", "max", "pattern"):
        if key in shape:
            out[key] = shape[key]
    if "enum" in shape:
        out["values"] = TOLD.get(name, shape["enum"])
        assert sorted(out["values"]) == sorted(shape["enum"]), name
    if name in BYTES:
        out["bytes"] = True
    if shape.get("sensitive"):
        out["secret"] = True
    if shape["type"] == "list":
        out["of"] = shape["member"]["shape"]
        todo.append(out["of"])
    if shape["type"] == "structure":
        required = shape.get("required", [])
        out["members"] = [member + "!" * (member in required) + " " + target["shape"] for member, target in shape["members"].items()]
        todo += [target["shape"] for target in shape["members"].values()]


def line(value):
    return json.dumps(value, separators=(",", ":"))


with open("requests.json", "w") as f:
    f.write('{"source":%s,\n"operations":{\n' % line("botocore %s, Apache-2.0" % botocore.__version__))
    f.write(",\n".join(line(n) + ":" + line(s) for n, s in sorted(operations.items())))
    f.write('\n},\n"shapes":{\n')
    f.write(",\n".join(line(n) + ":" + line(shapes[n]) for n in sorted(shapes)))
    f.write("\n}}\n")
