package jsonata

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"math"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

// statesBuiltins are the functions of the dialect of Step Functions.
var statesBuiltins = func() map[string]*function {
	all := maps.Clone(builtins)
	delete(all, "eval")
	maps.Copy(all, table(
		define("partition", "<an:a>", 2, strict(partition)),
		define("range", "<nnn:a>", 3, strict(numbersFrom)),
		define("hash", "<xs:s>", 2, strict(hash)),
		define("random", "<n?:n>", 1, seeded),
		define("uuid", "<:s>", 0, uuid),
		define("parse", "<s-:x>", 1, strict(parseJSON)),
	))
	return all
}()

// partition cuts an array into pieces.
func partition(e *evaluation, c *arguments) (val, error) {
	a := c.at(0)
	n := a.len()
	size := math.Trunc(c.at(1).num)
	if !(size >= 1) {
		return val{}, wrongArgument("T0410", "Argument 2 of function \"partition\" must be an integer of at least 1")
	}
	if err := e.spend(2 * n); err != nil {
		return val{}, err
	}
	step := int(min(size, float64(max(n, 1))))
	out := []val{}
	for i := 0; i < n; i += step {
		piece := &array{}
		for k := i; k < min(i+step, n); k++ {
			piece.items = append(piece.items, a.at(k))
		}
		out = append(out, ofArray(piece))
	}
	return plain(out), nil
}

// numbersFrom is $range: the numbers from the first to the last, which is in
// it, by steps.
func numbersFrom(e *evaluation, c *arguments) (val, error) {
	first, last, step := c.at(0).num, c.at(1).num, c.at(2).num
	if !c.at(1).defined() || !c.at(2).defined() {
		return val{}, nil
	}
	if step == 0 || math.IsNaN(first+last+step) || math.IsInf(first+last+step, 0) {
		return val{}, wrongArgument("T0410", "Argument 3 of function \"range\" must not be 0")
	}
	n := math.Floor((last-first)/step) + 1
	if n > statesRange {
		return val{}, large()
	}
	n = max(n, 0)
	if err := e.spend(int(n)); err != nil {
		return val{}, err
	}
	items := make([]val, int(n))
	for i := range items {
		items[i] = ofNumber(first + float64(i)*step)
	}
	return plain(items), nil
}

func hash(e *evaluation, c *arguments) (val, error) {
	s, err := e.textOf(c.at(0))
	if err != nil {
		return val{}, err
	}
	if err := e.spendText(4 * len(s)); err != nil {
		return val{}, err
	}
	var sum []byte
	switch algorithm := c.at(1).str(); algorithm {
	case "MD5":
		x := md5.Sum([]byte(s))
		sum = x[:]
	case "SHA-1":
		x := sha1.Sum([]byte(s))
		sum = x[:]
	case "SHA-256":
		x := sha256.Sum256([]byte(s))
		sum = x[:]
	case "SHA-384":
		x := sha512.Sum384([]byte(s))
		sum = x[:]
	case "SHA-512":
		x := sha512.Sum512([]byte(s))
		sum = x[:]
	default:
		return val{}, wrongArgument("T0410", "Argument 2 of function \"hash\" must be MD5, SHA-1, SHA-256, SHA-384 or SHA-512, not %s", quote(algorithm))
	}
	return ofText(hex.EncodeToString(sum)), nil
}

// seeded is $random, the same for the same seed where there is one: the first
// nextDouble of Java's java.util.Random, as on AWS.
func seeded(e *evaluation, c *arguments) (val, error) {
	seed := c.at(0)
	if !seed.defined() {
		return random(e, c)
	}
	const factor, mask = 0x5deece66d, 1<<48 - 1
	x := (uint64(int64(seed.num)) ^ factor) & mask
	next := func(bits int) uint64 {
		x = (x*factor + 0xb) & mask
		return x >> (48 - bits)
	}
	high := next(26) << 27
	return ofNumber(float64(high+next(27)) / (1 << 53)), nil
}

func uuid(e *evaluation, _ *arguments) (val, error) {
	r := e.rand()
	a, b := r.Uint64(), r.Uint64()
	a, b = a&^0xf000|0x4000, b&^(0xc<<60)|0x8<<60
	return ofText(fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0xffff, b>>48, b&0xffffffffffff)), nil
}

func parseJSON(e *evaluation, c *arguments) (val, error) {
	s := c.at(0).str()
	if err := e.spendText(4 * len(s)); err != nil {
		return val{}, err
	}
	v, err := value.ParseString(s)
	if err != nil {
		return val{}, wrongArgument("D3137", "The argument of function \"parse\" is %v", err)
	}
	return of(&v), nil
}
