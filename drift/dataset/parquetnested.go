package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// A nested column is a list or a map of Parquet, or another field that repeats: several
// leaves of the schema, which together are one value a row. It is text, as JSON writes it.
type nested struct {
	node   parquet.Node
	level  int // of definition, around it
	most   int // bytes of a value; of a longer one it is so many
	leaves []nestedLeaf
}

// A nestedLeaf is one leaf and the values that it has in a row.
type nestedLeaf struct {
	parquetColumn
	left   int64 // values of the row group that are not read yet
	ahead  []parquet.Value
	at     int // in ahead
	values []parquet.Value
}

// repeats is the path of the node in which a leaf repeats, and that node: the list or
// the map where the leaf is in one. level is that of definition around it.
func repeats(root parquet.Node, path []string) (_ []string, node parquet.Node, level int) {
	node = root
	for i, name := range path {
		fields := node.Fields()
		at := slices.IndexFunc(fields, func(f parquet.Field) bool { return f.Name() == name })
		node = fields[at] // a leaf's path is there
		if node.Repeated() || holder(node) != nil {
			return path[:i+1], node, level
		}
		if node.Optional() {
			level++
		}
	}
	return nil, nil, 0
}

// holder is the field of a list or a map that repeats: it is all that these have,
// whatever it is called.
func holder(node parquet.Node) parquet.Node {
	l := node.Type().LogicalType()
	if node.Leaf() || l == nil {
		return nil
	}
	switch l.Value.(type) {
	case *format.ListType, *format.MapType:
		if fields := node.Fields(); len(fields) == 1 && fields[0].Repeated() {
			return fields[0]
		}
	}
	return nil
}

// clone is the column for another reader of it.
func (n *nested) clone() *nested {
	if n == nil {
		return nil
	}
	c := *n
	c.leaves = slices.Clone(n.leaves)
	for i := range c.leaves {
		c.leaves[i].ahead, c.leaves[i].values = nil, nil
	}
	return &c
}

// open begins with the pages of a row group.
func (n *nested) open(p *parquetFile, group int) {
	for i := range n.leaves {
		l := &n.leaves[i]
		l.parquetColumn.open(p, group)
		l.left = p.file.Metadata().RowGroups[group].Columns[l.leaf.ColumnIndex].MetaData.NumValues
		l.ahead, l.at = l.ahead[:0], 0
	}
}

func (n *nested) close() {
	for i := range n.leaves {
		n.leaves[i].close()
	}
}

// add adds the next rows to a column of a batch, and what is under them to arena.
func (n *nested) add(to *Values, rows int, arena []byte) ([]byte, error) {
	leaves := make([][]parquet.Value, len(n.leaves))
	for range rows {
		for i := range n.leaves {
			if err := n.leaves[i].next(); err != nil {
				return arena, err
			}
			leaves[i] = n.leaves[i].values
		}
		from := len(arena)
		arena = n.value(arena, n.node, n.leaves, leaves, n.level, 0)
		arena = arena[:min(len(arena), from+n.most)]
		text := bytes.ToValidUTF8(arena[from:len(arena):len(arena)], nil) // cut within a character
		switch {
		case to.Type == Numeric:
			to.number(text)
		case missing(text):
			to.Missing++
			to.Text = append(to.Text, nil)
		default:
			to.Text = append(to.Text, text)
		}
	}
	return arena, nil
}

// mostParts is how many values a leaf may have in a row, which is in memory whole.
const mostParts = 1 << 20

// next reads the values of the next row: up to one that is not repeated.
func (l *nestedLeaf) next() error {
	l.values = l.values[:0]
	for {
		for ; l.at < len(l.ahead); l.at++ {
			v := l.ahead[l.at]
			if v.RepetitionLevel() == 0 && len(l.values) > 0 {
				return nil
			}
			if len(l.values) == mostParts {
				return tooLarge(fmt.Sprintf("a value has more than %d parts", mostParts))
			}
			l.values = append(l.values, v)
		}
		if l.left == 0 && len(l.values) > 0 {
			return nil
		}
		if l.left <= 0 {
			return io.ErrUnexpectedEOF
		}
		l.ahead = slices.Grow(l.ahead[:0], 1024)[:min(l.left, 1024)]
		if err := l.fill(l.ahead); err != nil {
			return err
		}
		l.left -= int64(len(l.ahead))
		l.at = 0
	}
}

// value appends what a node is in one place: values has those of each leaf below it
// there, with the levels of definition and repetition around it.
func (n *nested) value(text []byte, node parquet.Node, leaves []nestedLeaf, values [][]parquet.Value, level, repetition int) []byte {
	switch {
	case node.Optional():
		if level++; values[0][0].DefinitionLevel() < level {
			return append(text, "null"...)
		}
	case node.Repeated():
		return n.list(text, node, nil, leaves, values, level, repetition)
	}
	return n.inner(text, node, leaves, values, level, repetition)
}

// inner is value of a node that is there.
func (n *nested) inner(text []byte, node parquet.Node, leaves []nestedLeaf, values [][]parquet.Value, level, repetition int) []byte {
	if node.Leaf() {
		return leaves[0].json(text, values[0][0])
	}
	if each := holder(node); each != nil {
		var element parquet.Node
		if fields := each.Fields(); len(fields) == 1 {
			element = fields[0] // which is what is in the list, by its name or another
		} else if len(fields) == 2 && fields[0].Name() == "key" && fields[1].Name() == "value" {
			return n.table(text, each, leaves, values, level, repetition)
		}
		return n.list(text, each, element, leaves, values, level, repetition)
	}
	text = append(text, '{')
	at := 0
	for i, f := range node.Fields() {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(inQuotes(text, []byte(f.Name())), ':')
		to := at + leavesOf(f)
		text = n.value(text, f, leaves[at:to], values[at:to], level, repetition)
		at = to
	}
	return append(text, '}')
}

// list is inner of each, which repeats, or of what alone is within it.
func (n *nested) list(text []byte, each, element parquet.Node, leaves []nestedLeaf, values [][]parquet.Value, level, repetition int) []byte {
	text = append(text, '[')
	for i, part := range parts(values, level+1, repetition+1) {
		if i > 0 {
			text = append(text, ',')
		}
		if element == nil {
			text = n.inner(text, each, leaves, part, level+1, repetition+1)
		} else {
			text = n.value(text, element, leaves, part, level+1, repetition+1)
		}
	}
	return append(text, ']')
}

// table is inner of a map.
func (n *nested) table(text []byte, each parquet.Node, leaves []nestedLeaf, values [][]parquet.Value, level, repetition int) []byte {
	key, value := each.Fields()[0], each.Fields()[1]
	keys := leavesOf(key)
	text = append(text, '{')
	for i, part := range parts(values, level+1, repetition+1) {
		if i > 0 {
			text = append(text, ',')
		}
		from := len(text)
		text = n.value(text, key, leaves[:keys], part[:keys], level+1, repetition+1)
		if text[from] != '"' { // in JSON all keys are texts
			name := slices.Clone(text[from:])
			text = inQuotes(text[:from], name)
		}
		text = n.value(append(text, ':'), value, leaves[keys:], part[keys:], level+1, repetition+1)
	}
	return append(text, '}')
}

// parts are the values of each element of what repeats: none where it is not there.
func parts(values [][]parquet.Value, level, repetition int) (list [][][]parquet.Value) {
	if values[0][0].DefinitionLevel() < level {
		return nil
	}
	for leaf, of := range values {
		from, element := 0, 0
		for i := 1; i <= len(of); i++ {
			if i < len(of) && of[i].RepetitionLevel() > repetition {
				continue
			}
			if leaf == 0 {
				list = append(list, make([][]parquet.Value, len(values)))
			}
			list[element][leaf] = of[from:i]
			from, element = i, element+1
		}
	}
	return list
}

// leavesOf is how many leaves there are below a node.
func leavesOf(node parquet.Node) int {
	if node.Leaf() {
		return 1
	}
	n := 0
	for _, f := range node.Fields() {
		n += leavesOf(f)
	}
	return n
}

// json appends a value as JSON writes it, but NaN and infinities, which it lacks.
func (l *nestedLeaf) json(text []byte, v parquet.Value) []byte {
	switch l.type_ {
	case Numeric:
		return l.text(v, text)
	case Categorical:
		if v.Kind() == parquet.Boolean {
			return l.text(v, text)
		}
	}
	var b []byte
	if at, ok := l.parquetColumn.at(v); ok {
		b = at.AppendFormat(nil, "2006-01-02T15:04:05.999999999")
	} else {
		b = l.text(v, nil)
	}
	return inQuotes(text, b)
}

// inQuotes appends a text as JSON writes it, as it stands where that can be.
func inQuotes(text, s []byte) []byte {
	if slices.ContainsFunc(s, func(b byte) bool { return b < ' ' || b == '"' || b == '\\' }) {
		escaped, err := json.Marshal(string(s))
		if err != nil {
			panic(err) // unreachable: any string can be
		}
		return append(text, escaped...)
	}
	return append(append(append(text, '"'), s...), '"')
}
