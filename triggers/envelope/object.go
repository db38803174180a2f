package envelope

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An object is a JSON object that is read field by field. What is wrong with a
// field is remembered under its path, and told by err once all are read.
type object struct {
	path     string // "Records[0].s3.", or empty at the top
	fields   map[string]json.RawMessage
	problems *[]error
}

func (o *object) has(name string) bool { return o.fields[name] != nil }

// field is the field's value as it came, nil if it is absent or null.
func (o *object) field(name string) json.RawMessage {
	if v := o.fields[name]; string(v) != "null" {
		return v
	}
	return nil
}

// raw is the field's value without white space, nil if it is absent or null.
func (o *object) raw(name string) json.RawMessage {
	if v := o.field(name); v != nil {
		return compact(v)
	}
	return nil
}

// text is a string that must be there and not be empty.
func (o *object) text(name string) string {
	s := o.optional(name)
	if s == "" && o.field(name) == nil {
		o.problem(fmt.Errorf("%s%s: is missing", o.path, name))
	} else if s == "" && string(o.field(name)) == `""` {
		o.problem(fmt.Errorf("%s%s: is empty", o.path, name))
	}
	return s
}

// optional is a string that may be absent.
func (o *object) optional(name string) string {
	v := o.field(name)
	if v == nil {
		return ""
	}
	if v[0] != '"' {
		o.wrong(name, "a string", v)
	}
	return stringOf(v)
}

// optionalText is a field that may be a string, and may be something else.
func (o *object) optionalText(name string) string {
	return stringOf(o.fields[name])
}

// count is a whole number that may be absent.
func (o *object) count(name string) int64 {
	v := o.field(name)
	if v == nil {
		return 0
	}
	var n int64
	if err := json.Unmarshal(v, &n); err != nil || n < 0 {
		o.wrong(name, "a whole number", v)
	}
	return n
}

// otherTimes are the forms besides RFC 3339 in which times are told: by
// CloudWatch, and by some of S3's kin, who mean UTC.
var otherTimes = []string{"2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"}

// time is an RFC 3339 time or nearly one, absent if the field is. What a JSON form cannot
// hold is refused.
func (o *object) time(name string, absent time.Time) time.Time {
	s := o.optional(name)
	if s == "" {
		return absent
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	for _, form := range otherTimes {
		if err != nil {
			t, err = time.Parse(form, s)
		}
	}
	if ms, e := strconv.ParseInt(s, 10, 64); e == nil && err != nil && len(s) == 13 {
		t, err = time.UnixMilli(ms), nil // as SageMaker has it now and then
	}
	if err == nil {
		t = t.UTC()
		_, err = t.MarshalJSON() // the year may have left 0 to 9999
	}
	if err != nil {
		o.problem(fmt.Errorf("%s%s: want a time as 2006-01-02T15:04:05Z, have %q", o.path, name, s))
		return absent
	}
	return t
}

// object is an object that must be there. If it is not, that is told, and not
// that its fields are missing too.
func (o *object) object(name string) object {
	inner := object{path: o.path + name + ".", problems: o.shared()}
	v := o.field(name)
	var ok bool
	if inner.fields, ok = fieldsOf(v); !ok {
		o.wrong(name, "an object", v)
		inner.problems = new([]error)
	}
	return inner
}

// list is an array that may be absent.
func (o *object) list(name string) []json.RawMessage {
	v := o.field(name)
	if v == nil {
		return nil
	}
	items, ok := itemsOf(v)
	if !ok {
		o.wrong(name, "an array", v)
	}
	return items
}

func (o *object) wrong(name, want string, have json.RawMessage) {
	if have == nil {
		o.problem(fmt.Errorf("%s%s: is missing; want %s", o.path, name, want))
		return
	}
	shown := string(compact(have))
	if len(shown) > 40 {
		shown = shown[:40] + "…"
	}
	o.problem(fmt.Errorf("%s%s: want %s, have %s", o.path, name, want, shown))
}

func (o *object) problem(err error) {
	problems := o.shared()
	// A string that is read twice is wrong once.
	same := func(p error) bool { return p.Error() == err.Error() }
	if !slices.ContainsFunc(*problems, same) {
		*problems = append(*problems, err)
	}
}

func (o *object) shared() *[]error {
	if o.problems == nil {
		o.problems = new([]error)
	}
	return o.problems
}

// err is everything that was wrong so far, nil if nothing was.
func (o *object) err() error {
	var all []string
	for _, p := range *o.shared() {
		all = append(all, p.Error())
	}
	if all == nil {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}
