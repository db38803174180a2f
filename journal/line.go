package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A line is a record as JSON, in exports and in kept records. Data that is JSON
// stands there to the byte; what is not is Base64.
type line struct {
	Seq    uint64          `json:"seq"`
	Kind   string          `json:"kind"`
	Key    string          `json:"key,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	Base64 []byte          `json:"base64,omitempty"`
}

// AppendLine appends r as one line of JSON, without its end, to b:
//
//	{"seq":7,"kind":"event","key":"…","data":{…}}
//
// Data that is no JSON, or would not come back as the same bytes, is under
// "base64" instead. [ParseLine] gives the same record.
func AppendLine(b []byte, r Record) ([]byte, error) {
	head := line{Seq: r.Seq, Kind: r.Kind, Key: r.Key}
	verbatim := isLine(r.Data)
	if !verbatim {
		head.Base64 = r.Data
	}
	if !utf8.ValidString(r.Kind) || !utf8.ValidString(r.Key) {
		return b, fmt.Errorf("record %d: kind %q or key %q is not UTF-8", r.Seq, r.Kind, r.Key)
	}
	text, err := json.Marshal(head)
	if err != nil {
		return b, fmt.Errorf("record %d: %w", r.Seq, err)
	}
	b = append(b, text...)
	if verbatim {
		b = append(b[:len(b)-1], `,"data":`...)
		b = append(append(b, r.Data...), '}')
	}
	return b, nil
}

// isLine says whether data can stand in a line as it is: JSON without anything
// around it, and on one line.
func isLine(data []byte) bool {
	return len(data) > 0 && bytes.IndexByte(data, '\n') < 0 && len(bytes.Trim(data, " \t\r")) == len(data) &&
		utf8.Valid(data) && json.Valid(data)
}

// ParseLine reads what [AppendLine] wrote.
func ParseLine(text []byte) (Record, error) {
	var l line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Record{}, err
	}
	if d.More() {
		return Record{}, errors.New("more than one JSON value on the line")
	}
	if l.Data != nil && l.Base64 != nil {
		return Record{}, errors.New(`both "data" and "base64": want one`)
	}
	r := Record{Seq: l.Seq, Kind: l.Kind, Key: l.Key, Data: l.Data}
	if l.Data == nil {
		r.Data = l.Base64
	}
	if r.Seq == 0 {
		return Record{}, errors.New(`"seq" is missing: want the number of the record, 1 or more`)
	}
	return r, r.check()
}
