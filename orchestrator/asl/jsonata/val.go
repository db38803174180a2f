package jsonata

import (
	"math"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// A kind is what a val is.
type kind uint8

const (
	undefined kind = iota
	null
	boolean
	number
	text
	list     // an array or sequence
	dict     // an object
	callable // a function
	row      // of a tuple stream
	deferred // a call in tail position, see thunk
)

// A val is a value while an expression is evaluated. The zero val is
// undefined, which is no JSON: it is what a path without a match gives.
//
// What comes from outside is not copied: ref then points to a value.Value.
type val struct {
	kind kind
	num  float64 // of a number; 1 for true
	// ref is of a text a string or *value.Value, of a list an *array or
	// *value.Value, of a dict an *object or *value.Value, of a callable a
	// *function, of a row a *tuple, of a deferred a *thunk. A number that is
	// as it came has its *value.Value.
	ref any
}

// An array is a list that an expression made.
type array struct {
	items []val
	// While items is nil, it is the range of span integers from first, which
	// costs nothing until somebody looks.
	first float64
	span  int

	sequence bool // one of one item is the item, one without is undefined
	keep     bool // keepSingleton: but not this one
	cons     bool // made by a constructor that is a step: is not flattened
	outer    bool // wraps an input that is an array
	tuples   bool // its items are rows
}

// An object is a dict that an expression made.
type object struct {
	keys  []string
	vals  []val
	index map[string]int // where there are many keys
}

// A tuple is what a path carries along when it binds variables or parents.
type tuple struct {
	at    val // @, the item itself
	names []string
	vals  []val
}

var (
	valNull  = val{kind: null}
	valTrue  = val{kind: boolean, num: 1}
	valFalse = val{kind: boolean}
)

func ofBool(b bool) val {
	if b {
		return valTrue
	}
	return valFalse
}

func ofNumber(f float64) val { return val{kind: number, num: f} }
func ofText(s string) val    { return val{kind: text, ref: s} }
func ofArray(a *array) val   { return val{kind: list, ref: a} }
func ofObject(o *object) val { return val{kind: dict, ref: o} }

// plain is an array that is no sequence.
func plain(items []val) val {
	if items == nil {
		items = []val{}
	}
	return ofArray(&array{items: items})
}

// sequence is a sequence of items.
func sequence(items ...val) *array {
	if items == nil {
		items = []val{}
	}
	return &array{items: items, sequence: true}
}

// of is a value from outside. It must not be changed.
func of(v *value.Value) val {
	switch v.Kind() {
	case value.Bool:
		return ofBool(v.Bool())
	case value.Number:
		return val{kind: number, num: v.Float(), ref: v}
	case value.String:
		return val{kind: text, ref: v}
	case value.Array:
		return val{kind: list, ref: v}
	case value.Object:
		return val{kind: dict, ref: v}
	}
	return valNull
}

func (v val) defined() bool { return v.kind != undefined }
func (v val) isTrue() bool  { return v.kind == boolean && v.num != 0 }

// str is the content of a text.
func (v val) str() string {
	switch r := v.ref.(type) {
	case string:
		return r
	case *value.Value:
		return r.Text()
	}
	return ""
}

// array is the array behind a list that an expression made, else nil.
func (v val) array() *array {
	if v.kind != list {
		return nil
	}
	a, _ := v.ref.(*array)
	return a
}

// isSequence reports whether v is a list that may stand for its only item.
func (v val) isSequence() bool {
	a := v.array()
	return a != nil && a.sequence
}

// len is the number of items of a list or members of a dict.
func (v val) len() int {
	switch r := v.ref.(type) {
	case *array:
		return r.len()
	case *object:
		return len(r.keys)
	case *value.Value:
		return r.Len()
	}
	return 0
}

// at is an item of a list or the value of a dict's member.
func (v val) at(i int) val {
	switch r := v.ref.(type) {
	case *array:
		return r.at(i)
	case *object:
		return r.vals[i]
	}
	return of(&v.ref.(*value.Value).Items()[i])
}

// key is the key of a dict's member.
func (v val) key(i int) string {
	if o, ok := v.ref.(*object); ok {
		return o.keys[i]
	}
	return v.ref.(*value.Value).Key(i)
}

// member is the value of a dict's member; undefined where there is none, and
// of what is no dict.
func (v val) member(key string) val {
	if v.kind != dict {
		return val{}
	}
	if o, ok := v.ref.(*object); ok {
		if i := o.find(key); i >= 0 {
			return o.vals[i]
		}
		return val{}
	}
	j := v.ref.(*value.Value)
	if i := j.Position(key); i >= 0 {
		return of(&j.Items()[i])
	}
	return val{}
}

func (a *array) len() int {
	if a.items == nil {
		return a.span
	}
	return len(a.items)
}

func (a *array) at(i int) val {
	if a.items == nil {
		return ofNumber(a.first + float64(i))
	}
	return a.items[i]
}

func (o *object) find(key string) int {
	if o.index != nil {
		if i, ok := o.index[key]; ok {
			return i
		}
		return -1
	}
	for i, k := range o.keys {
		if k == key {
			return i
		}
	}
	return -1
}

// manyKeys is from when on a map finds a key faster than a walk does.
const manyKeys = 12

func (o *object) set(key string, v val) {
	if i := o.find(key); i >= 0 {
		o.vals[i] = v
		return
	}
	if o.index == nil && len(o.keys) >= manyKeys {
		o.index = make(map[string]int, 2*manyKeys)
		for i, k := range o.keys {
			o.index[k] = i
		}
	}
	if o.index != nil {
		o.index[key] = len(o.keys)
	}
	o.keys = append(o.keys, key)
	o.vals = append(o.vals, v)
}

func (o *object) remove(key string) {
	i := o.find(key)
	if i < 0 {
		return
	}
	o.keys = append(o.keys[:i], o.keys[i+1:]...)
	o.vals = append(o.vals[:i], o.vals[i+1:]...)
	if o.index != nil {
		clear(o.index)
		for i, k := range o.keys {
			o.index[k] = i
		}
	}
}

// collapse gives a sequence of one item as the item and an empty one as
// undefined.
func collapse(v val, keep bool) val {
	a := v.array()
	if a == nil || !a.sequence || a.tuples {
		return v
	}
	if keep {
		a.keep = true
	}
	switch a.len() {
	case 0:
		return val{}
	case 1:
		if !a.keep {
			return a.at(0)
		}
	}
	return v
}

// listOf is v as a list: itself, or a sequence of it.
func listOf(v val) val {
	if v.kind == list {
		return v
	}
	return ofArray(sequence(v))
}

// boolOf is the effective boolean value, of undefined false.
func (e *evaluation) boolOf(v val) (bool, error) {
	switch v.kind {
	case boolean:
		return v.num != 0, nil
	case number:
		ok, err := finite(v)
		return ok && v.num != 0, err
	case text:
		return v.str() != "", nil
	case dict:
		return v.len() > 0, nil
	case callable:
		f := v.ref.(*function)
		return f.within == nil && f.regex == nil, nil
	case list:
		n := v.len()
		if err := e.spend(n); err != nil {
			return false, err
		}
		any := false
		for i := range n {
			ok, err := e.boolOf(v.at(i))
			if err != nil {
				return false, err
			}
			any = any || ok
		}
		return any, nil
	}
	return false, nil
}

// finite reports whether v is a number, and raises D1001 if it is an infinite
// one.
func finite(v val) (bool, error) {
	if v.kind != number || math.IsNaN(v.num) {
		return false, nil
	}
	if math.IsInf(v.num, 0) {
		return false, &Error{Code: "D1001", value: v}
	}
	return true, nil
}

// numbers reports whether all items of a list are numbers.
func numbers(v val) (bool, error) {
	for i := range v.len() {
		if ok, err := finite(v.at(i)); !ok || err != nil {
			return false, err
		}
	}
	return v.kind == list, nil
}

// texts reports whether all items of a list are strings.
func texts(v val) bool {
	for i := range v.len() {
		if v.at(i).kind != text {
			return false
		}
	}
	return v.kind == list
}

// identical is JavaScript's ===.
func identical(a, b val) bool {
	if a.kind != b.kind {
		return false
	}
	switch a.kind {
	case number, boolean:
		return a.num == b.num
	case text:
		return a.str() == b.str()
	case undefined, null:
		return true
	}
	return a.ref == b.ref
}

// equal is deep equality.
func (e *evaluation) equal(a, b val) (bool, error) {
	if a.kind != b.kind {
		return false, nil
	}
	if a.kind == text {
		return identical(a, b), e.spend(min(len(a.str()), len(b.str())) / 256)
	}
	if a.kind != list && a.kind != dict || a.ref == b.ref {
		return identical(a, b), nil
	}
	n := a.len()
	if n != b.len() {
		return false, nil
	}
	if err := e.enter(); err != nil {
		return false, err
	}
	if err := e.spend(n); err != nil {
		return false, err
	}
	for i := range n {
		x, y := a.at(i), val{}
		if a.kind == list {
			y = b.at(i)
		} else if y = b.member(a.key(i)); !y.defined() {
			return false, e.leave()
		}
		if ok, err := e.equal(x, y); !ok || err != nil {
			e.leave()
			return false, err
		}
	}
	return true, e.leave()
}

// compareText is the order of two strings, with what it costs.
func (e *evaluation) compareText(a, b string) (int, error) {
	return compareText(a, b), e.spend(min(len(a), len(b)) / 64)
}

// compareText orders strings by UTF-16 code units.
func compareText(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		x, y := a[i], b[i]
		// Only a code point beyond the BMP (a surrogate pair in UTF-16)
		// against one from U+E000 on is ordered otherwise than its bytes.
		if x >= 0xf0 && (y == 0xee || y == 0xef) {
			return -1
		}
		if y >= 0xf0 && (x == 0xee || x == 0xef) {
			return 1
		}
		if x < y {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// truthy is JavaScript's idea of truth.
func truthy(v val) bool {
	switch v.kind {
	case undefined, null:
		return false
	case boolean:
		return v.num != 0
	case number:
		return v.num != 0 && !math.IsNaN(v.num)
	case text:
		return v.str() != ""
	}
	return true
}

// result is v as JSON; false where it is undefined or a function.
func (e *evaluation) result(v val) (value.Value, bool, error) {
	switch v.kind {
	case null:
		return value.Value{}, true, nil
	case boolean:
		return value.OfBool(v.num != 0), true, nil
	case number:
		if j, ok := v.ref.(*value.Value); ok && v.num != 0 {
			return *j, true, nil
		}
		if math.IsNaN(v.num) || math.IsInf(v.num, 0) {
			if e.states { // which has no other way to write it
				return value.OfString(jsNumber(v.num)), true, nil
			}
			return value.Value{}, false, &Error{Code: "D1001", value: v}
		}
		return value.OfFloat(v.num), true, nil
	case text:
		if j, ok := v.ref.(*value.Value); ok {
			return *j, true, nil
		}
		return value.OfString(v.str()), true, nil
	case list, dict:
	default:
		return value.Value{}, false, nil
	}
	if j, ok := v.ref.(*value.Value); ok {
		return *j, true, nil
	}
	if err := e.enter(); err != nil {
		return value.Value{}, false, err
	}
	n := v.len()
	if err := e.spend(n); err != nil {
		return value.Value{}, false, err
	}
	if v.kind == list {
		items := make([]value.Value, n)
		depth := 0
		for i := range n {
			x, _, err := e.result(v.at(i)) // null for what is not there
			if err != nil {
				return x, false, err
			}
			items[i], depth = x, max(depth, x.Depth())
		}
		if depth >= value.MaxDepth {
			return value.Value{}, false, &Error{Code: "U1001"}
		}
		return value.OfArray(items), true, e.leave()
	}
	o := v.ref.(*object)
	members := make([]value.Member, 0, n)
	for i, k := range o.keys {
		x, ok, err := e.result(o.vals[i])
		if err != nil {
			return x, false, err
		}
		if x.Depth() >= value.MaxDepth {
			return value.Value{}, false, &Error{Code: "U1001"}
		}
		if ok {
			members = append(members, value.Member{Key: k, Value: x})
		}
	}
	return value.OfObject(members...), true, e.leave()
}
