// Package value holds JSON as Amazon States Language sees it: objects keep the
// order of their members and numbers the text they were written with, so that
// what passes through a state machine leaves it as it came.
//
// A Value is immutable and may be shared freely, between goroutines too; a
// change makes a new Value that shares the rest with the old one. Parsing and
// comparing are bounded in depth ([MaxDepth]).
//
// Paths and functions over values are in the packages jsonpath and intrinsic.
package value

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// A Kind is one of the six kinds of JSON.
type Kind uint8

// The kinds. The zero Value is null.
const (
	Null Kind = iota
	Bool
	Number
	String
	Array
	Object
)

func (k Kind) String() string {
	return [...]string{"null", "boolean", "number", "string", "array", "object"}[k]
}

// A Value is a JSON value.
type Value struct {
	kind Kind
	yes  bool   // of a Bool
	text string // of a String; of a Number as it was written
	body *body  // of an Array or Object
}

// body is what arrays and objects hold.
type body struct {
	keys  []string // of an object, in order
	items []Value
	index map[string]int // key to position, where there are many keys
	depth int            // of the nesting, this one included
	size  int            // of the compact JSON, in bytes
}

// seal works out depth and size, once the body is complete.
func (b *body) seal() *body {
	b.depth, b.size = 1, 2+max(0, len(b.items)-1)
	for _, k := range b.keys {
		b.size += quotedSize(k) + 1
	}
	for _, v := range b.items {
		b.depth = max(b.depth, 1+v.Depth())
		b.size = min(b.size+v.Size(), maxSize)
	}
	return b
}

// The bodies of all that is empty.
var noItems, noMembers = (&body{}).seal(), (&body{}).seal()

// maxSize keeps sizes of values that share parts over and over from
// overflowing.
const maxSize = 1 << 40

// manyKeys is from when on a map finds a key faster than a walk does.
const manyKeys = 12

// True and False are the booleans.
var (
	True  = Value{kind: Bool, yes: true}
	False = Value{kind: Bool}
)

// OfBool is the boolean b.
func OfBool(b bool) Value { return Value{kind: Bool, yes: b} }

// OfString is the string s.
func OfString(s string) Value { return Value{kind: String, text: s} }

// OfInt is the number n.
func OfInt(n int64) Value { return Value{kind: Number, text: strconv.FormatInt(n, 10)} }

// OfFloat is the number f, which must be finite, written as ECMAScript writes
// it: shortest, and without an exponent from 1e-6 to 1e21.
func OfFloat(f float64) Value { return Value{kind: Number, text: FormatFloat(f)} }

// FormatFloat is f as ECMAScript's Number::toString writes it. There is one
// zero.
func FormatFloat(f float64) string {
	switch a := math.Abs(f); {
	case f == 0:
		return "0"
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strconv.FormatFloat(f, 'f', -1, 64), "+") + "inity"
	case a < 1e15 && a == math.Trunc(a):
		return strconv.FormatInt(int64(f), 10)
	case a >= 1e-6 && a < 1e21:
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	i := strings.IndexByte(s, 'e') + 2 // after the sign
	return s[:i] + strings.TrimLeft(s[i:], "0")
}

// OfArray is the array of items, which must not be changed afterwards.
func OfArray(items []Value) Value {
	return Value{kind: Array, body: (&body{items: items}).seal()}
}

// A Member is one member of an object.
type Member struct {
	Key   string
	Value Value
}

// OfObject is the object of members in their order. Where a key comes twice,
// the later value stands in the earlier place.
func OfObject(members ...Member) Value {
	if len(members) == 0 {
		return Value{kind: Object, body: noMembers}
	}
	b := &body{keys: make([]string, 0, len(members)), items: make([]Value, 0, len(members))}
	for _, m := range members {
		b.set(m.Key, m.Value)
	}
	return Value{kind: Object, body: b.seal()}
}

func (b *body) find(key string) (int, bool) {
	if b.index != nil {
		i, ok := b.index[key]
		return i, ok
	}
	for i, k := range b.keys {
		if k == key {
			return i, true
		}
	}
	return 0, false
}

// set is for a body that nobody else holds yet.
func (b *body) set(key string, v Value) {
	if i, ok := b.find(key); ok {
		b.items[i] = v
		return
	}
	if b.index != nil {
		b.index[key] = len(b.keys)
	} else if len(b.keys) >= manyKeys {
		b.index = make(map[string]int, 2*manyKeys)
		for i, k := range b.keys {
			b.index[k] = i
		}
		b.index[key] = len(b.keys)
	}
	b.keys = append(b.keys, key)
	b.items = append(b.items, v)
}

// Kind is the kind of v.
func (v Value) Kind() Kind { return v.kind }

// Bool is the value of a boolean, false for anything else.
func (v Value) Bool() bool { return v.yes }

// Text is a string's content or a number as it was written; empty for
// anything else.
func (v Value) Text() string { return v.text }

// Float is the value of a number; NaN for anything else.
func (v Value) Float() float64 {
	if v.kind != Number {
		return math.NaN()
	}
	f, _ := strconv.ParseFloat(v.text, 64) // ±Inf where it is out of range
	return f
}

// Int is the value of a number without a fraction that fits.
func (v Value) Int() (int64, bool) {
	if v.kind != Number {
		return 0, false
	}
	if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
		return n, true
	}
	f := v.Float()
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// Len is the number of items of an array or members of an object.
func (v Value) Len() int {
	if v.body == nil {
		return 0
	}
	return len(v.body.items)
}

// Depth is how deep arrays and objects nest in v: 0 for a scalar.
func (v Value) Depth() int {
	if v.body == nil {
		return 0
	}
	return v.body.depth
}

// Size is the length of the compact JSON of v in bytes.
func (v Value) Size() int {
	switch v.kind {
	case Null:
		return 4
	case Bool:
		if v.yes {
			return 4
		}
		return 5
	case Number:
		return len(v.text)
	case String:
		return quotedSize(v.text)
	}
	return v.body.size
}

// At is the item or member value at position i, 0 <= i < Len().
func (v Value) At(i int) Value { return v.body.items[i] }

// Key is the key of an object's member at position i, 0 <= i < Len().
func (v Value) Key(i int) string { return v.body.keys[i] }

// Items are the items of an array or the values of an object's members. They
// must not be changed.
func (v Value) Items() []Value {
	if v.body == nil {
		return nil
	}
	return v.body.items
}

// Position is where an object has the member key: 0 <= Position < Len(), or -1
// where it has none.
func (v Value) Position(key string) int {
	if v.kind == Object {
		if i, ok := v.body.find(key); ok {
			return i
		}
	}
	return -1
}

// Find is an object's member key.
func (v Value) Find(key string) (Value, bool) {
	if v.kind != Object {
		return Value{}, false
	}
	i, ok := v.body.find(key)
	if !ok {
		return Value{}, false
	}
	return v.body.items[i], true
}

// With is the object v with member key set: in its place if it is there, else
// at the end.
func (v Value) With(key string, x Value) Value {
	b := &body{}
	if v.body != nil {
		b.keys = append(make([]string, 0, len(v.body.keys)+1), v.body.keys...)
		b.items = append(make([]Value, 0, len(v.body.items)+1), v.body.items...)
		if i, ok := v.body.find(key); ok {
			b.items[i], b.index = x, v.body.index
			return Value{kind: Object, body: b.seal()}
		}
		if len(b.keys) >= manyKeys {
			b.index = make(map[string]int, len(b.keys)+1)
			for i, k := range b.keys {
				b.index[k] = i
			}
		}
	}
	b.set(key, x)
	return Value{kind: Object, body: b.seal()}
}

// WithAt is the array v with item i set, 0 <= i < Len().
func (v Value) WithAt(i int, x Value) Value {
	items := append([]Value(nil), v.body.items...)
	items[i] = x
	return OfArray(items)
}

// Same reports whether a and b are one and the same array or object, which is
// quick to see. Values that are not the same may be equal.
func Same(a, b Value) bool { return a.body != nil && a.body == b.body }

// Equal reports whether a and b are the same JSON: numbers by their value,
// objects whatever the order of their members.
func Equal(a, b Value) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case Null:
		return true
	case Bool:
		return a.yes == b.yes
	case Number:
		return Compare(a, b) == 0
	case String:
		return a.text == b.text
	}
	if a.body == b.body {
		return true
	}
	if a.Len() != b.Len() {
		return false
	}
	for i, x := range a.body.items {
		y, ok := Value{}, true
		if a.kind == Array {
			y = b.body.items[i]
		} else {
			y, ok = b.Find(a.body.keys[i])
		}
		if !ok || !Equal(x, y) {
			return false
		}
	}
	return true
}

// Hash is equal for equal values (FNV-1a, with members in any order).
func Hash(v Value) uint64 {
	h := mix(14695981039346656037, uint64(v.kind))
	switch v.kind {
	case Bool:
		h = mix(h, uint64(len(v.String())))
	case Number:
		h = mix(h, math.Float64bits(v.Float()+0)) // there is one zero
	case String:
		h = mixText(h, v.text)
	}
	for i, x := range v.Items() {
		if v.kind == Array {
			h = mix(h, Hash(x))
		} else {
			h += mix(mixText(0, v.body.keys[i]), Hash(x))
		}
	}
	return h
}

func mix(h, x uint64) uint64 {
	for range 8 {
		h = (h ^ x&0xff) * 1099511628211
		x >>= 8
	}
	return h
}

func mixText(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// Compare orders two numbers: -1, 0 or 1. Numbers that are equal as float64
// but differ as text are compared exactly, so that long integers do not run
// into each other.
func Compare(a, b Value) int {
	if a.text == b.text {
		return 0
	}
	x, y := a.Float(), b.Float()
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	case len(a.text) < 16 && len(b.text) < 16:
		return 0
	case len(a.text) > 400 || len(b.text) > 400 || math.IsInf(x, 0):
		return 0 // not worth exactness; a hostile exponent must not cost memory
	}
	p, _, errA := big.ParseFloat(a.text, 10, 1400, big.ToNearestEven)
	q, _, errB := big.ParseFloat(b.text, 10, 1400, big.ToNearestEven)
	if errA != nil || errB != nil {
		return 0
	}
	return p.Cmp(q)
}
