package journal

// A Record is one entry of the journal.
type Record struct {
	Seq  uint64 // 1, 2, 3, … in the order of the journal; given by Append
	Kind string // what Data holds: "event", "decision", …; 1 to 32 bytes
	Key  string // the ID to find it by; up to 255 bytes, may be empty
	Data []byte // usually JSON; up to 1 GiB; not to be changed once it was read, as others may have it too
}
