package engine

import (
	"bytes"
	"strconv"
	"time"

	"github.com/anneal-ml/anneal/orchestrator/asl"
)

// parseHead reads a head as turns are written with: it is read of every turn, by
// some more than once, and package encoding/json takes ten times as long. It is
// false for what is written otherwise, which may be a head all the same.
func parseHead(text []byte) (Head, bool) {
	s := headScan{rest: text}
	var h Head
	ok := s.skip(`{"status":`) && s.oneOf(&h.Status, asl.StatusRunning, asl.StatusSucceeded, asl.StatusFailed) &&
		s.skip(`,"first":`) && s.event(&h.First) && s.skip(`,"last":`) && s.event(&h.Last) &&
		(!s.skip(`,"wake":`) || s.time(&h.Wake))
	h.Waits = s.skip(`,"waits":true`)
	h.Handed = s.skip(`,"handed":true`)
	ok = ok && (!s.skip(`,"offers":`) || s.offers(&h.Offers))
	h.Cancels = s.skip(`,"cancels":true`)
	ok = ok && (!s.skip(`,"of":`) || s.text(&h.Of)) && (!s.skip(`,"began":`) || s.time(&h.Began))
	return h, ok && string(s.rest) == "}"
}

// A headScan goes through a head. Its methods are false where it does not go on so.
type headScan struct {
	rest []byte
	last []byte    // the last time that was read, which as a rule comes again
	at   time.Time // it is
}

// skip goes past what comes next, if it is that.
func (s *headScan) skip(want string) bool {
	if len(s.rest) < len(want) || string(s.rest[:len(want)]) != want {
		return false
	}
	s.rest = s.rest[len(want):]
	return true
}

// quoted is a string without escapes.
func (s *headScan) quoted() ([]byte, bool) {
	if !s.skip(`"`) {
		return nil, false
	}
	n := bytes.IndexByte(s.rest, '"') // for both letters at once a table is made each time
	if n < 0 || bytes.IndexByte(s.rest[:n], '\\') >= 0 {
		return nil, false
	}
	text := s.rest[:n]
	s.rest = s.rest[n+1:]
	return text, true
}

func (s *headScan) text(to *string) bool {
	text, ok := s.quoted()
	*to = string(text)
	return ok
}

// oneOf is text for what is one of the words that are read most: those take no memory.
func (s *headScan) oneOf(to *string, words ...string) bool {
	text, ok := s.quoted()
	for _, word := range words {
		if string(text) == word {
			*to = word
			return ok
		}
	}
	*to = string(text)
	return ok
}

func (s *headScan) time(to *time.Time) bool {
	text, ok := s.quoted()
	if !ok || s.last == nil || !bytes.Equal(text, s.last) {
		if !ok || s.at.UnmarshalText(text) != nil {
			return false
		}
		s.last = text
	}
	*to = s.at
	return true
}

func (s *headScan) number(to *uint64) bool {
	n := 0
	for n < len(s.rest) && s.rest[n] >= '0' && s.rest[n] <= '9' {
		n++
	}
	var err error
	*to, err = strconv.ParseUint(string(s.rest[:n]), 10, 63)
	s.rest = s.rest[n:]
	return err == nil
}

func (s *headScan) event(to *Event) bool {
	var id uint64
	var kind string
	ok := s.skip(`{"id":`) && s.number(&id) && s.skip(`,"type":`) && s.oneOf(&kind, string(asl.ExecutionStarted), string(asl.ExecutionSucceeded)) && s.skip(`,"timestamp":`) && s.time(&to.Timestamp) && s.skip(`}`)
	to.ID, to.Type = int64(id), asl.EventType(kind)
	return ok
}
