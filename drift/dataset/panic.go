package dataset

import (
	"fmt"
	"runtime/debug"
)

// A Panic is that of a goroutine which works for another. It goes on in the other,
// where it can be recovered from.
type Panic struct {
	Value any
	Stack []byte // where it was
}

// String has the stack, as that of the other goroutine says little.
func (p *Panic) String() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// Catch does something, and gives the panic that ended it, or nil.
func Catch(do func()) (p *Panic) {
	defer func() {
		if v := recover(); v != nil {
			var ok bool
			if p, ok = v.(*Panic); !ok {
				p = &Panic{v, debug.Stack()}
			}
		}
	}()
	do()
	return nil
}
