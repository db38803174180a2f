package asl

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/jsonpath"
	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// distributedFields are those that only a distributed Map has.
var distributedFields = []string{"Label", "ItemReader", "ItemBatcher", "ResultWriter"}

// mode reads whether a Map is inline or distributed.
func (c *checker) mode(st *state, at, processor spot) {
	p, ok := processor.at("ProcessorConfig")
	if !ok {
		for _, key := range distributedFields {
			if f, ok := at.at(key); ok && !st.each.distributed {
				st.each.distributed = true
				c.add(f.node.KeyOffset, f.pointer(), SeverityWarning, `%s makes this a distributed Map, though it does not say so with "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}`, key)
			}
		}
		return
	}
	if p.value().Kind() != value.Object {
		c.errorf(p, "must be an object, not %s", p.value().Kind())
		return
	}
	mode, f, there := c.text(p, "Mode")
	switch {
	case mode == "DISTRIBUTED":
		st.each.distributed = true
		c.fields(p, "the configuration of a distributed processor", []string{"Mode", "ExecutionType"}, nil)
		kind, f, ok := c.text(p, "ExecutionType")
		switch {
		case !ok:
			if _, there := p.at("ExecutionType"); !there {
				c.errorf(p, `must have "ExecutionType": "STANDARD" or "EXPRESS"`)
			}
		case kind != "STANDARD" && kind != "EXPRESS":
			c.errorf(f, `must be "STANDARD" or "EXPRESS", not %q`, kind)
		}
		st.each.express = kind == "EXPRESS"
	case there && mode != "INLINE":
		c.errorf(f, `must be "INLINE" or "DISTRIBUTED", not %q`, mode)
	default:
		c.fields(p, "the configuration of an inline processor", []string{"Mode"}, nil)
	}
}

// each reads what a Map runs over, and how.
func (c *checker) each(st *state, at spot) {
	x := &st.each
	x.most = c.number(at, "MaxConcurrency", 0)
	x.count = c.number(at, "ToleratedFailureCount", 0)
	x.percent = c.percentage(at, "ToleratedFailurePercentage")
	x.tolerant = x.count.set() || x.percent.set()
	if c.jsonata {
		if f, ok := at.at("Items"); ok && f.value().Kind() != value.Array && f.value().Kind() != value.Object && !isQuery(f.value()) {
			c.errorf(f, "must be an array or a JSONata expression, not %s", brief(f.value()))
		} else if ok && f.value().Kind() == value.Object && !x.distributed {
			c.errorf(f, "must be an array or a JSONata expression, not %s; only a distributed Map runs over an object", brief(f.value()))
		}
		x.list = c.template(at, "Items")
		x.selector = c.template(at, "ItemSelector")
	} else {
		if isNull(at, "ItemsPath") {
			f, _ := at.at("ItemsPath")
			c.errorf(f, "must be a path to an array, not null")
		} else if x.items = c.path(at, "ItemsPath"); x.items == nil {
			x.items, _ = jsonpath.Parse("$")
		}
		c.one(at, false, "ItemSelector", "Parameters")
		if x.selector = c.template(at, "ItemSelector"); x.selector == nil {
			x.selector, st.parameters = st.parameters, nil
		}
	}
	for _, key := range distributedFields {
		if f, ok := at.at(key); ok && !x.distributed {
			c.add(f.node.KeyOffset, f.pointer(), SeverityError, `%s belongs to a distributed Map; set "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"} in its ItemProcessor`, key)
		}
	}
	x.label = c.label(at)
	x.reader = c.reader(at)
	x.batcher = c.batcher(at)
	x.writer = c.writer(at)
}

// set reports whether a number is there, or may come.
func (n number) set() bool { return n.given || n.path != nil || n.query != nil }

// percentage is a number from 0 to 100, with fractions.
func (c *checker) percentage(at spot, key string) number {
	if q, ok := c.dynamic(at, key); ok {
		return number{field: key, query: q}
	}
	x := number{field: key}
	if f, ok := at.at(key); ok {
		n := f.value().Float()
		if x.given = true; f.value().Kind() != value.Number || !(n >= 0 && n <= 100) {
			c.errorf(f, "must be a number from 0 to 100, not %s", brief(f.value()))
		}
		x.fraction = n
	}
	if !c.jsonata {
		c.one(at, false, key, key+"Path")
		x.field, x.path = key+"Path", c.reference(at, key+"Path")
	}
	return x
}

// maxLabel is how many characters a Label has at most.
const maxLabel = 40

// label reads Label, which stands in ARNs.
func (c *checker) label(at spot) string {
	label, f, ok := c.text(at, "Label")
	if !ok {
		return ""
	}
	if n := utf8.RuneCountInString(label); n < 1 || n > maxLabel {
		c.errorf(f, "must have 1 to %d characters, not %d", maxLabel, n)
	}
	for _, r := range label {
		if r <= ' ' || r >= 0x7f && r <= 0x9f || strings.ContainsRune("?*<>{}[]:;,\\|^~$#%&`\"/", r) {
			c.errorf(f, "must not have the character %q", r)
			break
		}
	}
	if c.labels[label] {
		c.errorf(f, "there is another Map with the label %q; labels must differ in the whole state machine, as they stand in the ARNs of map runs", label)
	}
	c.labels[label] = true
	return label
}

// An itemReader is ItemReader as it is written.
type itemReader struct {
	action     string
	parameters *template
	config     map[string]string // the constant fields of ReaderConfig
	headers    []string
	pointer    *template // ItemsPointer
	most       number    // MaxItems
}

// What ItemReader and ResultWriter have done.
const (
	actionGet  = "getObject"
	actionList = "listObjectsV2"
	actionPut  = "putObject"
)

// s3 reads the Resource of an ItemReader or ResultWriter.
func (c *checker) s3(at spot, actions ...string) string {
	arn, f, ok := c.text(at, "Resource")
	if !ok {
		return ""
	}
	r, _ := parseResource(arn)
	for _, action := range actions {
		if r.kind == "s3" && r.action == action || r.kind == "aws-sdk:s3" && r.action == action {
			return action
		}
	}
	c.errorf(f, "must be arn:aws:states:::s3:%s, not %q", strings.Join(actions, " or arn:aws:states:::s3:"), arn)
	return ""
}

// object is a field that is an object, of which what are the known fields.
func (c *checker) object(at spot, key, what string, known ...string) (spot, bool) {
	f, ok := at.at(key)
	if !ok {
		return f, false
	}
	if f.value().Kind() != value.Object {
		c.errorf(f, "must be an object, not %s", f.value().Kind())
		return f, false
	}
	c.fields(f, what, known, nil)
	return f, true
}

// sent is what the parameters of a resource are called.
func (c *checker) sent() string {
	if c.jsonata {
		return "Arguments"
	}
	return "Parameters"
}

// parametersOf are the parameters of what stands in a state under key.
func (c *checker) parametersOf(at spot, key string) *template {
	f, ok := at.at(c.sent())
	if !ok {
		return nil
	}
	if c.jsonata {
		return c.filled(f, key+"/"+c.sent())
	}
	return c.part(f)
}

func (c *checker) reader(at spot) *itemReader {
	f, ok := c.object(at, "ItemReader", "an ItemReader", "Resource", c.sent(), "ReaderConfig")
	if !ok {
		return nil
	}
	x := &itemReader{action: c.s3(f, actionGet, actionList), config: map[string]string{}}
	if _, ok := f.at("Resource"); !ok {
		c.errorf(f, `must have "Resource"`)
	}
	if x.parameters = c.parametersOf(f, "ItemReader"); x.parameters == nil {
		c.errorf(f, `must have %q`, c.sent())
	}
	known := []string{"InputType", "ManifestType", "CSVHeaderLocation", "CSVHeaders", "CSVDelimiter", "ItemsPointer", "Transformation", "MaxItems"}
	if !c.jsonata {
		known = append(known, "MaxItemsPath")
	}
	config, ok := c.object(f, "ReaderConfig", "a ReaderConfig", known...)
	if !ok {
		if x.action == actionGet {
			c.errorf(f, `must have "ReaderConfig", which says what the object is: "InputType": "JSON"`)
		}
		return x
	}
	x.most = c.numberIn(config, "MaxItems", "ItemReader/ReaderConfig/MaxItems", 0)
	x.most.least, x.most.most = math.MinInt64, math.MaxInt64 // the reader says more
	choices := map[string][]string{
		"InputType":         {"CSV", "JSON", "JSONL", "PARQUET", "MANIFEST"},
		"ManifestType":      {"ATHENA_DATA", "S3_INVENTORY"},
		"CSVHeaderLocation": {"FIRST_ROW", "GIVEN"},
		"CSVDelimiter":      {"COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"},
		"Transformation":    {"NONE", "LOAD_AND_FLATTEN"},
	}
	for _, key := range []string{"InputType", "ManifestType", "CSVHeaderLocation", "CSVDelimiter", "Transformation"} {
		text, f, ok := c.text(config, key)
		if !ok {
			continue
		}
		x.config[key] = text
		if !slices.Contains(choices[key], text) {
			c.errorf(f, "must be %s, not %q", quoted(choices[key], "or"), text)
		}
	}
	kind := x.config["InputType"]
	flatten := x.config["Transformation"] == "LOAD_AND_FLATTEN"
	switch {
	case kind == "" && (x.action == actionGet || flatten):
		c.errorf(config, `must have "InputType", which says what the object is (%s)`, quoted(choices["InputType"], "or"))
	case kind != "" && x.action == actionList && !flatten:
		c.errorf(config, `a listing has an "InputType" only with "Transformation": "LOAD_AND_FLATTEN"`)
	}
	if list, ok := config.at("CSVHeaders"); ok {
		if list.value().Kind() != value.Array {
			c.errorf(list, "must be an array of strings, not %s", list.value().Kind())
		}
		for _, h := range list.members() {
			if h.value().Kind() != value.String {
				c.errorf(h, "must be a string, not %s", h.value().Kind())
			}
			x.headers = append(x.headers, h.value().Text())
		}
	}
	location := x.config["CSVHeaderLocation"]
	switch {
	case kind == "CSV" && location == "":
		c.errorf(config, `must have "CSVHeaderLocation": "FIRST_ROW" or "GIVEN"`)
	case location == "GIVEN" && len(x.headers) == 0:
		c.errorf(config, `must have "CSVHeaders", the names of the columns, since "CSVHeaderLocation" is "GIVEN"`)
	case location == "FIRST_ROW" && len(x.headers) > 0:
		c.errorf(config, `"CSVHeaders" and "CSVHeaderLocation": "FIRST_ROW" exclude each other`)
	}
	if f, ok := config.at("ItemsPointer"); ok {
		if f.value().Kind() != value.String {
			c.errorf(f, "must be a string with a JSON pointer, not %s", f.value().Kind())
		} else if t := f.value().Text(); !isQuery(f.value()) && t != "" && !strings.HasPrefix(t, "/") {
			c.errorf(f, "must be a JSON pointer, as in /items, not %q", t)
		}
		if c.jsonata {
			x.pointer = c.filled(f, "ItemReader/ReaderConfig/ItemsPointer")
		} else {
			x.pointer = &template{constant: new(f.value())}
		}
	}
	return x
}

// An itemBatcher is ItemBatcher as it is written.
type itemBatcher struct {
	items, bytes number
	input        *template // BatchInput
}

func (c *checker) batcher(at spot) *itemBatcher {
	known := []string{"MaxItemsPerBatch", "MaxInputBytesPerBatch", "BatchInput"}
	if !c.jsonata {
		known = append(known, "MaxItemsPerBatchPath", "MaxInputBytesPerBatchPath")
	}
	f, ok := c.object(at, "ItemBatcher", "an ItemBatcher", known...)
	if !ok {
		return nil
	}
	x := &itemBatcher{
		items: c.numberIn(f, "MaxItemsPerBatch", "ItemBatcher/MaxItemsPerBatch", 1),
		bytes: c.numberIn(f, "MaxInputBytesPerBatch", "ItemBatcher/MaxInputBytesPerBatch", 1),
	}
	if !x.items.set() && !x.bytes.set() {
		c.errorf(f, `must have "MaxItemsPerBatch" or "MaxInputBytesPerBatch"`)
	}
	if b, ok := f.at("BatchInput"); ok {
		if c.jsonata {
			x.input = c.filled(b, "ItemBatcher/BatchInput")
		} else {
			x.input = c.part(b)
		}
	}
	return x
}

// A resultWriter is ResultWriter as it is written.
type resultWriter struct {
	parameters *template // nil: nothing is written
	config     map[string]string
}

func (c *checker) writer(at spot) *resultWriter {
	f, ok := c.object(at, "ResultWriter", "a ResultWriter", "Resource", c.sent(), "WriterConfig")
	if !ok {
		return nil
	}
	c.s3(f, actionPut)
	x := &resultWriter{parameters: c.parametersOf(f, "ResultWriter"), config: map[string]string{}}
	_, resource := f.at("Resource")
	config, configured := c.object(f, "WriterConfig", "a WriterConfig", "Transformation", "OutputType")
	switch {
	case resource != (x.parameters != nil):
		c.errorf(f, `"Resource" and %q belong together`, c.sent())
	case !resource && !configured:
		c.errorf(f, `must have "Resource" and %q, or "WriterConfig"`, c.sent())
	}
	if !configured {
		return x
	}
	for _, choice := range []struct {
		key  string
		from []string
	}{{"Transformation", []string{"NONE", "COMPACT", "FLATTEN"}}, {"OutputType", []string{"JSON", "JSONL"}}} {
		text, f, ok := c.text(config, choice.key)
		if !ok {
			continue
		}
		x.config[choice.key] = text
		if !slices.Contains(choice.from, text) {
			c.errorf(f, "must be %s, not %q", quoted(choice.from, "or"), text)
		}
	}
	return x
}
