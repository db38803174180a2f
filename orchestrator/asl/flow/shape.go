package flow

import (
	"hash/maphash"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// Kinds is a set of the kinds of JSON.
type Kinds uint8

// The kinds, and all of them.
const (
	Null Kinds = 1 << iota
	Bool
	Number
	String
	Array
	Object
	All Kinds = 1<<iota - 1
)

// String is the kinds in words, as in "a string or null".
func (k Kinds) String() string {
	var words []string
	for i, word := range []string{"null", "a boolean", "a number", "a string", "an array", "an object"} {
		if k&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, " or ")
}

func kindsOf(v value.Value) Kinds {
	return map[value.Kind]Kinds{value.Null: Null, value.Bool: Bool, value.Number: Number, value.String: String, value.Array: Array, value.Object: Object}[v.Kind()]
}

// A Shape is what is known of a value before it is there. It is never changed
// once it is made.
type Shape struct {
	Kinds Kinds
	Value *value.Value // the one value it can be, where that is a known scalar

	// Of an object: the members that are known of, and whether there may be
	// others.
	Fields []Field
	Open   bool

	// Of an array: each of its items, where Exact; else what any item is, nil
	// for anything.
	Exact bool
	Tuple []*Shape
	Items *Shape

	// Parts are texts that a string has in it for certain.
	Parts []string
	// Text says that a string holds JSON, and of what.
	Text string
	// Offset is where in the definition it is written; 0 where it is not.
	Offset int

	facts []fact
	made  *origin
	sum   uint64
}

// A Field is a member of an object.
type Field struct {
	Name     string
	Shape    *Shape
	Presence Presence
}

// A Presence says whether a value is there.
type Presence uint8

// The presences.
const (
	Unknown Presence = iota // it can be there
	Sure                    // it is there
	Absent                  // it is not
)

// A fact is how a comparison of the value turned out.
type fact struct {
	test  string // comparator and what it compares with
	holds bool
}

// An origin says what a value stands in the place of.
type origin struct {
	state  *state
	by     string // the field of the state: ResultPath, OutputPath, …
	before *Shape
}

// Any is a value of which nothing is known.
func Any() *Shape { return &Shape{Kinds: All, Open: true} }

// Of is any value of these kinds.
func Of(kinds Kinds) *Shape { return &Shape{Kinds: kinds, Open: true} }

// Record is an object with these members and no others.
func Record(fields ...Field) *Shape { return &Shape{Kinds: Object, Fields: fields} }

// List is an array of any number of items.
func List(items *Shape) *Shape { return &Shape{Kinds: Array, Items: items} }

// Exactly is the value v.
func Exactly(v value.Value) *Shape {
	s := &Shape{Kinds: kindsOf(v)}
	switch v.Kind() {
	case value.Object:
		for i := range v.Len() {
			s.Fields = append(s.Fields, Field{v.Key(i), Exactly(v.At(i)), Sure})
		}
	case value.Array:
		s.Exact = true
		for _, x := range v.Items() {
			s.Tuple = append(s.Tuple, Exactly(x))
		}
	default:
		s.Value = &v
	}
	return s
}

// Is reports whether the value can only be of these kinds.
func (s *Shape) Is(kinds Kinds) bool { return s.Kinds&^kinds == 0 }

// Can reports whether the value can be of one of these kinds.
func (s *Shape) Can(kinds Kinds) bool { return s.Kinds&kinds != 0 }

// at is the shape, written at that offset.
func (s *Shape) at(offset int) *Shape {
	t := *s
	t.Offset = offset
	return &t
}

// by is the shape that a field of a state puts in the place of before.
func (s *Shape) by(st *state, field string, before *Shape) *Shape {
	t := *s
	t.made = &origin{st, field, before}
	return &t
}

// Member is the member of an object.
func (s *Shape) Member(name string) (*Shape, Presence) {
	if !s.Can(Object) {
		return nil, Absent
	}
	for _, f := range s.Fields {
		if f.Name == name {
			if f.Presence == Sure && !s.Is(Object) {
				return f.Shape, Unknown
			}
			return f.Shape, f.Presence
		}
	}
	if s.Open {
		return Any(), Unknown
	}
	return nil, Absent
}

// Item is what any item of an array can be.
func (s *Shape) Item() *Shape {
	switch {
	case !s.Exact && s.Items != nil:
		return s.Items
	case !s.Exact || len(s.Tuple) == 0:
		return Any()
	}
	item := s.Tuple[0]
	for _, x := range s.Tuple[1:] {
		item = join(item, x)
	}
	return item
}

// with is an object with a member set.
func (s *Shape) with(name string, x *Shape, p Presence) *Shape {
	t := &Shape{Kinds: Object, Open: s.Open, Offset: s.Offset, made: s.made}
	t.Fields = slices.Clone(s.Fields)
	for i, f := range t.Fields {
		if f.Name == name {
			t.Fields[i] = Field{name, x, p}
			return t
		}
	}
	t.Fields = append(t.Fields, Field{name, x, p})
	return t
}

// learn is the shape with how a test of it turned out.
func (s *Shape) learn(test string, holds bool) *Shape {
	t := *s
	t.sum = 0
	t.facts = append(slices.Clone(s.facts), fact{test, holds})
	return &t
}

// only is the shape with fewer kinds.
func (s *Shape) only(kinds Kinds) *Shape {
	if s.Is(kinds) {
		return s
	}
	t := *s
	t.sum = 0
	t.Kinds &= kinds
	return &t
}

// deepest is how deep shapes nest; what is below it may be anything.
const deepest = 24

// bounded is the shape without what is nested too deep.
func (s *Shape) bounded(depth int) *Shape {
	if depth == 0 {
		return Any()
	}
	if !s.deeper(depth) {
		return s
	}
	t := *s
	t.sum = 0
	t.Fields, t.Tuple = slices.Clone(s.Fields), slices.Clone(s.Tuple)
	for i := range t.Fields {
		if t.Fields[i].Shape != nil {
			t.Fields[i].Shape = t.Fields[i].Shape.bounded(depth - 1)
		}
	}
	for i := range t.Tuple {
		t.Tuple[i] = t.Tuple[i].bounded(depth - 1)
	}
	if t.Items != nil {
		t.Items = t.Items.bounded(depth - 1)
	}
	return &t
}

func (s *Shape) deeper(depth int) bool {
	if depth == 0 {
		return true
	}
	inside := slices.Clone(s.Tuple)
	for _, f := range s.Fields {
		inside = append(inside, f.Shape)
	}
	return slices.ContainsFunc(append(inside, s.Items), func(x *Shape) bool { return x != nil && x.deeper(depth-1) })
}

var seed = maphash.MakeSeed()

// Hash is equal for shapes that say the same, in one process. Where they are written and what
// they stand in the place of makes no difference.
func (s *Shape) Hash() uint64 {
	if s == nil {
		return 1
	}
	if s.sum != 0 {
		return s.sum
	}
	var all uint64 // of what has no order
	one := func(parts ...any) uint64 {
		var h maphash.Hash
		h.SetSeed(seed)
		for _, p := range parts {
			maphash.WriteComparable(&h, p)
		}
		return h.Sum64()
	}
	for _, f := range s.Fields {
		all += one("field", f.Name, f.Presence, f.Shape.Hash())
	}
	for _, f := range s.facts {
		all += one("fact", f)
	}
	v := ""
	if s.Value != nil {
		v = s.Value.String()
	}
	parts := []any{s.Kinds, s.Open, s.Exact, v, s.Text, strings.Join(s.Parts, "\x00"), all, s.Items.Hash(), len(s.Tuple)}
	for _, x := range s.Tuple {
		parts = append(parts, x.Hash())
	}
	s.sum = one(parts...) | 1
	return s.sum
}

// join is what is known of a value that is one of two.
func join(a, b *Shape) *Shape {
	if a == b || a.Hash() == b.Hash() {
		return a
	}
	c := &Shape{Kinds: a.Kinds | b.Kinds, made: a.made}
	if a.Text == b.Text {
		c.Text = a.Text
	}
	if a.Value != nil && b.Value != nil && value.Equal(*a.Value, *b.Value) {
		c.Value = a.Value
	}
	switch {
	case !b.Can(Object):
		c.Fields, c.Open = a.Fields, a.Open
	case !a.Can(Object):
		c.Fields, c.Open = b.Fields, b.Open
	default:
		c.Open = a.Open || b.Open
		c.joinFields(a, b)
		c.joinFields(b, a)
	}
	switch {
	case !b.Can(Array):
		c.Exact, c.Tuple, c.Items = a.Exact, a.Tuple, a.Items
	case !a.Can(Array):
		c.Exact, c.Tuple, c.Items = b.Exact, b.Tuple, b.Items
	case a.Exact && b.Exact && len(a.Tuple) == len(b.Tuple):
		c.Exact = true
		for i := range a.Tuple {
			c.Tuple = append(c.Tuple, join(a.Tuple[i], b.Tuple[i]))
		}
	default:
		c.Items = join(a.Item(), b.Item())
	}
	return c
}

// joinFields adds the fields of a that c has not yet, joined with b's.
func (c *Shape) joinFields(a, b *Shape) {
	for _, f := range a.Fields {
		if slices.ContainsFunc(c.Fields, func(g Field) bool { return g.Name == f.Name }) {
			continue
		}
		other, p := b.Member(f.Name)
		g := Field{f.Name, f.Shape, f.Presence}
		if p != f.Presence {
			g.Presence = Unknown
		}
		switch {
		case f.Shape == nil:
			g.Shape = other
		case other != nil:
			g.Shape = join(f.Shape, other)
		}
		c.Fields = append(c.Fields, g)
	}
}
