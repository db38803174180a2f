package sfnapi

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// members are those of a JSON object, in their order, each value as it is written: what
// package encoding/json has a map for, for a third of the time.
type members []named

type named struct {
	name  string
	value json.RawMessage
}

// membersOf takes a JSON object apart; null has no members. It is false for what is
// neither.
func membersOf(text []byte) (all members, ok bool) {
	if !json.Valid(text) {
		return nil, false
	}
	s := memberScan{text: text}
	switch s.letter() {
	case '{':
	case 'n':
		return nil, true
	default:
		return nil, false
	}
	for s.at++; s.letter() != '}'; {
		if s.letter() == ',' {
			s.at++
		}
		s.letter()
		name := unquoted(s.value())
		s.letter()
		s.at++ // the colon
		s.letter()
		all = append(all, named{name, s.value()})
	}
	return all, true
}

// of is the value of a member as it is written; nil: there is none. Of several the last
// one counts.
func (m members) of(name string) json.RawMessage {
	for i := len(m) - 1; i >= 0; i-- {
		if m[i].name == name {
			return m[i].value
		}
	}
	return nil
}

// text is a member that is a string; empty where there is none, or another value.
func (m members) text(name string) string { return unquoted(m.of(name)) }

// unquoted is what a JSON string says; empty for any other value.
func unquoted(text json.RawMessage) string {
	if n := len(text); n >= 2 && text[0] == '"' && bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return string(text[1 : n-1]) // as most
	}
	var s string
	if json.Unmarshal(text, &s) != nil {
		return ""
	}
	return s
}

// A memberScan goes through a text that is JSON.
type memberScan struct {
	text []byte
	at   int
}

// letter is the next one that is not a space; it is where the scan is then.
func (s *memberScan) letter() byte {
	for s.text[s.at] <= ' ' {
		s.at++
	}
	return s.text[s.at]
}

// value goes past the value that begins here, and returns it.
func (s *memberScan) value() json.RawMessage {
	from, depth := s.at, 0
	for {
		switch s.text[s.at] {
		case '"':
			for s.at++; s.text[s.at] != '"'; s.at++ {
				if s.text[s.at] == '\\' {
					s.at++
				}
			}
			s.at++
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			depth--
			s.at++
		case ',', ':', ' ', '\t', '\r', '\n':
			s.at++
		default: // a number, or a word
			for s.at < len(s.text) && !bytes.ContainsRune([]byte(",:]}\" \t\r\n"), rune(s.text[s.at])) {
				s.at++
			}
		}
		if depth == 0 {
			return s.text[from:s.at:s.at]
		}
	}
}
