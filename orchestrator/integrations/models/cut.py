"""Cuts the files beside it out of AWS's own API models, as botocore has them.

    python3 cut.py

One shape a line. Of a shape only what a checker reads is kept: members in the
names that Step Functions uses (the first letter is large), what is required,
short lists of allowed values, patterns of names, and bounds. The operations of
aws-sdk:* are cut to their own parameters, without what is in these and without
results.
"""
import json
import botocore
from botocore.loaders import Loader

OPERATIONS = {
    # file: (botocore's service, {operation of Step Functions: whose output .sync gives})
    "sagemaker": ("sagemaker", {
        "createTrainingJob": "DescribeTrainingJob", "createProcessingJob": "DescribeProcessingJob",
        "createTransformJob": "DescribeTransformJob", "createHyperParameterTuningJob": "DescribeHyperParameterTuningJob",
        "createModel": None, "createEndpointConfig": None,
        "createEndpoint": None, "updateEndpoint": None,
    }),
    "lambda": ("lambda", {"invoke": None}),
    "sns": ("sns", {"publish": None}),
    "sqs": ("sqs", {"sendMessage": None}),
    "events": ("events", {"putEvents": None}),
    "states": ("stepfunctions", {"startExecution": "DescribeExecution"}),
    "dynamodb": ("dynamodb", {"getItem": None, "putItem": None, "updateItem": None, "deleteItem": None}),
    "glue": ("glue", {"startJobRun": None}),
    "athena": ("athena", {"startQueryExecution": "GetQueryExecution", "getQueryExecution": None, "getQueryResults": None, "stopQueryExecution": None}),
    "batch": ("batch", {"submitJob": None}),
    "ecs": ("ecs", {"runTask": None}),
    "aws-sdk:s3": ("s3", {n: None for n in ("getObject", "putObject", "copyObject", "deleteObject", "headObject", "listObjectsV2")}),
    "aws-sdk:sagemaker": ("sagemaker", {n: None for n in (
        "createModelPackage", "updateModelPackage", "describeTrainingJob", "describeProcessingJob", "describeTransformJob",
        "describeEndpoint", "describeModelPackage", "createModelPackageGroup", "deleteEndpoint", "deleteModel", "stopTrainingJob")}),
}
MANY = 16  # allowed values; longer lists grow with every release
GROWING = ("WorkerType", "OutputFormat", "TransformAmiVersion")  # as these do


def large(name):
    return name[:1].upper() + name[1:]


def cut(model, name, into, flat=False):
    """Puts a shape and those it is made of into a dictionary; flat only itself."""
    shape = model["shapes"][name]
    kind = shape["type"]
    out = {"type": {"structure": "object", "list": "array", "map": "map", "long": "integer", "float": "number",
                    "double": "number", "timestamp": "time", "blob": "any"}.get(kind, kind)}
    if name in into or shape.get("document"):
        return
    into[name] = out
    if kind == "structure":
        out["members"] = {}
        for member, target in shape["members"].items():
            if target.get("deprecated"):
                continue
            leaf = model["shapes"][target["shape"]]["type"] not in ("structure", "list", "map")
            out["members"][large(member)] = target["shape"] if leaf or not flat else ""
            if leaf or not flat:
                cut(model, target["shape"], into)
        if shape.get("required"):
            out["required"] = [large(m) for m in shape["required"]]
    elif kind == "list":
        out["of"] = shape["member"]["shape"]
        cut(model, out["of"], into)
    elif kind == "map":
        out["of"] = shape["value"]["shape"]
        cut(model, out["of"], into)
    elif kind == "string":
        if "enum" in shape and len(shape["enum"]) <= MANY and name not in GROWING:
            out["enum"] = shape["enum"]
        elif "pattern" in shape and name.endswith(("Name", "S3Uri")) and not any(x in shape["pattern"] for x in ("arn", "(?!")):
            out["pattern"] = shape["pattern"]
    if kind in ("string", "integer", "long", "list"):
        for bound in ("min", "max"):
            if shape.get(bound, 0) > 0 and shape[bound] < 1 << 31:
                out[bound] = shape[bound]


def line(value):
    return json.dumps(value, separators=(",", ":"))


for file, (service, operations) in OPERATIONS.items():
    model = Loader().load_service_model(service, "service-2")
    shapes, calls = {}, {}
    for name, sync in operations.items():
        op = model["operations"][large(name)]
        call = calls[name] = {"in": op["input"]["shape"]}
        sdk = file.startswith("aws-sdk:")
        cut(model, call["in"], shapes, flat=sdk)
        if "output" in op and not sdk:
            call["out"] = op["output"]["shape"]
        if sync:
            call["sync"] = model["operations"][sync]["output"]["shape"]
        for way in ("out", "sync"):
            if way in call:
                cut(model, call[way], shapes)
    with open(file.replace(":", "-") + ".json", "w") as f:
        f.write('{"source":"botocore %s, Apache-2.0",\n' % botocore.__version__)
        if file.startswith("aws-sdk:"):
            f.write('"actions":%s,\n' % line(sorted(n[:1].lower() + n[1:] for n in model["operations"])))
        f.write('"operations":{\n')
        f.write(",\n".join(line(n) + ":" + line(c) for n, c in calls.items()))
        f.write('\n},\n"shapes":{\n')
        f.write(",\n".join(line(n) + ":" + line(shapes[n]) for n in sorted(shapes)))
        f.write("\n}}\n")
