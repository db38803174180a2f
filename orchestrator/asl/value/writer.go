package value

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"time"
)

// A Writer writes JSON member by member, as package encoding/json writes a struct:
// what is written many thousand times a second is spared its reflection. Its methods
// that end in Some leave a member out that is zero.
type Writer struct {
	Text []byte // what is written so far
	Err  error  // the first; Text is of no use then

	time     time.Time // the last one that was written
	from, to int       // where it is in Text
	second   int64     // the last one that was written, and the time up to there
	upTo     string
}

// Reset begins another text in the room of the last.
func (w *Writer) Reset() { *w = Writer{Text: w.Text[:0], second: w.second, upTo: w.upTo} }

// comma writes a comma where one is due.
func (w *Writer) comma() {
	if w.due() {
		w.Text = append(w.Text, ',')
	}
}

// due says whether a comma must come before what comes next.
func (w *Writer) due() bool {
	n := len(w.Text)
	return n > 0 && w.Text[n-1] != '{' && w.Text[n-1] != '[' && w.Text[n-1] != ':'
}

// Open begins an object or array, with { or [.
func (w *Writer) Open(bracket byte) {
	w.comma()
	w.Text = append(w.Text, bracket)
}

// Close ends what Open began.
func (w *Writer) Close(bracket byte) { w.Text = append(w.Text, bracket) }

// Key begins a member. Only a key without letters that must be escaped may be given.
func (w *Writer) Key(key string) {
	begin := `,"`
	if !w.due() {
		begin = `"`
	}
	w.Text = append(append(append(w.Text, begin...), key...), `":`...)
}

// AnyKey begins a member whatever its key is.
func (w *Writer) AnyKey(key string) {
	w.comma()
	w.Text = append(AppendQuoted(w.Text, key), ':')
}

// String writes a member.
func (w *Writer) String(key, s string) {
	w.Key(key)
	w.Text = AppendQuoted(w.Text, s)
}

// StringSome writes a member, unless s is empty.
func (w *Writer) StringSome(key, s string) {
	if s != "" {
		w.String(key, s)
	}
}

// Int writes a member.
func (w *Writer) Int(key string, n int64) {
	w.Key(key)
	w.Text = strconv.AppendInt(w.Text, n, 10)
}

// IntSome writes a member, unless n is 0.
func (w *Writer) IntSome(key string, n int64) {
	if n != 0 {
		w.Int(key, n)
	}
}

// TrueSome writes a member that is true, unless it is not.
func (w *Writer) TrueSome(key string, yes bool) {
	if yes {
		w.Key(key)
		w.Text = append(w.Text, "true"...)
	}
}

// Time writes a member, in RFC 3339. A year beyond 9999 is an error.
func (w *Writer) Time(key string, t time.Time) {
	w.Key(key)
	if w.to > 0 && t == w.time { // as often: what happens in one turn happens at one time
		w.Text = append(w.Text, w.Text[w.from:w.to]...)
		return
	}
	from := len(w.Text)
	w.Text = append(w.Text, '"')
	w.appendTime(t)
	w.Text = append(w.Text, '"')
	w.time, w.from, w.to = t, from, len(w.Text)
}

// appendTime appends a time, up to the second as it was written last where that is the
// same: to tell the day of a time takes long.
func (w *Writer) appendTime(t time.Time) {
	const upToSecond = len("2006-01-02T15:04:05")
	if t.Location() != time.UTC || t.Unix() != w.second || w.upTo == "" {
		from := len(w.Text)
		text, err := t.AppendText(w.Text)
		if err != nil {
			w.Err = cmp.Or(w.Err, err)
			return
		}
		w.Text = text
		if t.Location() == time.UTC {
			w.second, w.upTo = t.Unix(), string(text[from:from+upToSecond])
		}
		return
	}
	w.Text = append(w.Text, w.upTo...)
	if n := t.Nanosecond(); n > 0 {
		digits := strconv.AppendInt(w.Text, int64(1e9+n), 10) // the 1 becomes the point
		digits[len(w.Text)] = '.'
		w.Text = bytes.TrimRight(digits, "0")
	}
	w.Text = append(w.Text, 'Z')
}

// TimeSome writes a member, unless t is zero.
func (w *Writer) TimeSome(key string, t time.Time) {
	if !t.IsZero() {
		w.Time(key, t)
	}
}

// JSON writes a member whose value is JSON already; nil is null. It is not checked.
func (w *Writer) JSON(key string, text json.RawMessage) {
	w.Key(key)
	w.raw(text)
}

func (w *Writer) raw(text json.RawMessage) {
	if text == nil {
		text = json.RawMessage("null")
	}
	w.Text = append(w.Text, text...)
}

// JSONSome writes a member, unless text is empty.
func (w *Writer) JSONSome(key string, text json.RawMessage) {
	if len(text) > 0 {
		w.JSON(key, text)
	}
}

// Item writes an item of an array, or the value of a member whose key was written,
// that is JSON already; nil is null.
func (w *Writer) Item(text json.RawMessage) {
	w.comma()
	w.raw(text)
}

// Any writes an item of an array, or the value of a member whose key was written, by
// package encoding/json.
func (w *Writer) Any(v any) {
	text, err := json.Marshal(v)
	if err != nil && w.Err == nil {
		w.Err = err
	}
	w.comma()
	w.raw(text)
}
