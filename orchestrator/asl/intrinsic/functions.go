package intrinsic

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/anneal-ml/anneal/orchestrator/asl/value"
)

type function func(args []value.Value, r *rand.Rand) (value.Value, error)

type signature struct {
	do       function
	min, max int
}

const (
	many   = math.MaxInt
	format = "States.Format"

	maxText  = 10_000  // characters that Base64 and Hash take
	maxRange = 1_000   // items that ArrayRange makes
	maxMade  = 4 << 20 // bytes that Format and JsonToString make
)

func functions() map[string]signature {
	return map[string]signature{
		format:                  {formatAny, 1, many},
		"States.StringToJson":   {stringToJSON, 1, 1},
		"States.JsonToString":   {jsonToString, 1, 1},
		"States.Array":          {func(a []value.Value, _ *rand.Rand) (value.Value, error) { return value.OfArray(a), nil }, 0, many},
		"States.ArrayPartition": {arrayPartition, 2, 2},
		"States.ArrayContains":  {arrayContains, 2, 2},
		"States.ArrayRange":     {arrayRange, 3, 3},
		"States.ArrayGetItem":   {arrayGetItem, 2, 2},
		"States.ArrayLength":    {arrayLength, 1, 1},
		"States.ArrayUnique":    {arrayUnique, 1, 1},
		"States.Base64Encode":   {base64Encode, 1, 1},
		"States.Base64Decode":   {base64Decode, 1, 1},
		"States.Hash":           {hashOf, 2, 2},
		"States.JsonMerge":      {jsonMerge, 3, 3},
		"States.MathRandom":     {mathRandom, 2, 3},
		"States.MathAdd":        {mathAdd, 2, 2},
		"States.StringSplit":    {stringSplit, 2, 2},
		"States.UUID":           {uuid, 0, 0},
	}
}

func names() []string {
	var all []string
	for name := range functions() {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// formatAny is for a template that is not a literal: all its {} count.
func formatAny(a []value.Value, _ *rand.Rand) (value.Value, error) {
	if a[0].Kind() != value.String {
		return value.Value{}, errors.New("the template must be a string")
	}
	return formatted(strings.Split(a[0].Text(), "{}"), a[1:])
}

func formatted(parts []string, args []value.Value) (value.Value, error) {
	if len(parts)-1 != len(args) {
		return value.Value{}, &Error{Message: "Invalid arguments in States.Format: number of arguments do not match the occurrences of {}"}
	}
	b := []byte(parts[0])
	for i, x := range args {
		if x.Size() < maxMade {
			b = appendShown(b, x)
		}
		b = append(b, parts[i+1]...)
		if len(b) > maxMade || x.Size() >= maxMade {
			return value.Value{}, &Error{Message: "Invalid arguments in States.Format: the result is too long"}
		}
	}
	return value.OfString(string(b)), nil
}

// appendShown writes a value as AWS puts it into a text: strings as they are, arrays
// and objects as Java writes collections, [a, 1] and {a=1, b=[]}, the rest as JSON.
func appendShown(b []byte, v value.Value) []byte {
	switch v.Kind() {
	case value.String:
		return append(b, v.Text()...)
	case value.Array, value.Object:
		opening, closing := byte('['), byte(']')
		if v.Kind() == value.Object {
			opening, closing = '{', '}'
		}
		b = append(b, opening)
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ", "...)
			}
			if v.Kind() == value.Object {
				b = append(append(b, v.Key(i)...), '=')
			}
			b = appendShown(b, v.At(i))
		}
		return append(b, closing)
	}
	return v.Append(b)
}

func stringToJSON(a []value.Value, _ *rand.Rand) (value.Value, error) {
	s, err := text(a[0], "the argument")
	if err != nil {
		return value.Value{}, err
	}
	if strings.TrimSpace(s) == "" {
		return value.Value{}, nil
	}
	return value.ParseString(s)
}

func jsonToString(a []value.Value, _ *rand.Rand) (value.Value, error) {
	if a[0].Size() > maxMade {
		return value.Value{}, errors.New("the result is too long")
	}
	return value.OfString(a[0].String()), nil
}

func text(v value.Value, what string) (string, error) {
	if v.Kind() != value.String {
		return "", fmt.Errorf("%s must be a string, not %s", what, v.Kind())
	}
	return v.Text(), nil
}

func array(v value.Value, what string) error {
	if v.Kind() != value.Array {
		return fmt.Errorf("%s must be an array, not %s", what, v.Kind())
	}
	return nil
}

// integer rounds as Java's Math.round does: halves go up.
func integer(v value.Value, what string) (int64, error) {
	if v.Kind() != value.Number {
		return 0, fmt.Errorf("%s must be a number, not %s", what, v.Kind())
	}
	f := math.Floor(v.Float() + 0.5)
	if n, ok := v.Int(); ok {
		f = float64(n)
	}
	if f < math.MinInt32 || f > math.MaxInt32 {
		return 0, fmt.Errorf("%s is out of range", what)
	}
	return int64(f), nil
}

func arrayPartition(a []value.Value, _ *rand.Rand) (value.Value, error) {
	if err := array(a[0], "the first argument"); err != nil {
		return value.Value{}, err
	}
	n, err := integer(a[1], "the chunk size")
	if err != nil {
		return value.Value{}, err
	}
	if n <= 0 {
		return value.Value{}, errors.New("the chunk size must be positive")
	}
	var chunks []value.Value
	for chunk := range slices.Chunk(a[0].Items(), int(n)) {
		chunks = append(chunks, value.OfArray(chunk))
	}
	return value.OfArray(chunks), nil
}

func arrayContains(a []value.Value, _ *rand.Rand) (value.Value, error) {
	if err := array(a[0], "the first argument"); err != nil {
		return value.Value{}, err
	}
	return value.OfBool(slices.ContainsFunc(a[0].Items(), func(x value.Value) bool { return value.Equal(x, a[1]) })), nil
}

func arrayRange(a []value.Value, _ *rand.Rand) (value.Value, error) {
	var n [3]int64
	for i, what := range []string{"the first value", "the last value", "the step"} {
		var err error
		if n[i], err = integer(a[i], what); err != nil {
			return value.Value{}, err
		}
	}
	first, last, step := n[0], n[1], n[2]
	if step == 0 {
		return value.Value{}, errors.New("the step must not be zero")
	}
	var items []value.Value
	for x := first; step > 0 && x <= last || step < 0 && x >= last; x += step {
		if len(items) == maxRange {
			return value.Value{}, fmt.Errorf("the range has more than %d items", maxRange)
		}
		items = append(items, value.OfInt(x))
	}
	return value.OfArray(items), nil
}

func arrayGetItem(a []value.Value, _ *rand.Rand) (value.Value, error) {
	if err := array(a[0], "the first argument"); err != nil {
		return value.Value{}, err
	}
	i, err := integer(a[1], "the index")
	if err != nil {
		return value.Value{}, err
	}
	if i < 0 || i >= int64(a[0].Len()) {
		return value.Value{}, fmt.Errorf("index %d is outside of the array of %d items", i, a[0].Len())
	}
	return a[0].At(int(i)), nil
}

func arrayLength(a []value.Value, _ *rand.Rand) (value.Value, error) {
	if err := array(a[0], "the argument"); err != nil {
		return value.Value{}, err
	}
	return value.OfInt(int64(a[0].Len())), nil
}

func arrayUnique(a []value.Value, _ *rand.Rand) (value.Value, error) {
	if err := array(a[0], "the argument"); err != nil {
		return value.Value{}, err
	}
	var unique []value.Value
	seen := map[uint64][]value.Value{} // by hash
	for _, x := range a[0].Items() {
		h := value.Hash(x)
		if !slices.ContainsFunc(seen[h], func(y value.Value) bool { return value.Equal(x, y) }) {
			seen[h] = append(seen[h], x)
			unique = append(unique, x)
		}
	}
	return value.OfArray(unique), nil
}

// short is a string that Base64 and Hash take.
func short(v value.Value) (string, error) {
	s, err := text(v, "the data")
	if err == nil && utf8.RuneCountInString(s) > maxText {
		err = fmt.Errorf("the data is longer than %d characters", maxText)
	}
	return s, err
}

func base64Encode(a []value.Value, _ *rand.Rand) (value.Value, error) {
	s, err := short(a[0])
	return value.OfString(base64.StdEncoding.EncodeToString([]byte(s))), err
}

func base64Decode(a []value.Value, _ *rand.Rand) (value.Value, error) {
	s, err := short(a[0])
	if err != nil {
		return value.Value{}, err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		if b, err = base64.RawStdEncoding.DecodeString(s); err != nil {
			return value.Value{}, errors.New("the data is not Base64")
		}
	}
	return value.OfString(strings.ToValidUTF8(string(b), "\uFFFD")), nil
}

func hashOf(a []value.Value, _ *rand.Rand) (value.Value, error) {
	var data []byte
	if a[0].Kind() == value.String {
		s, err := short(a[0])
		if err != nil {
			return value.Value{}, err
		}
		data = []byte(s)
	} else {
		if a[0].Size() > maxText {
			return value.Value{}, fmt.Errorf("the data is longer than %d characters", maxText)
		}
		data = a[0].Append(nil)
	}
	name, err := text(a[1], "the algorithm")
	if err != nil {
		return value.Value{}, err
	}
	var h hash.Hash
	switch name {
	case "MD5":
		h = md5.New()
	case "SHA-1":
		h = sha1.New()
	case "SHA-256":
		h = sha256.New()
	case "SHA-384":
		h = sha512.New384()
	case "SHA-512":
		h = sha512.New()
	default:
		return value.Value{}, fmt.Errorf("unknown algorithm %q (have MD5, SHA-1, SHA-256, SHA-384, SHA-512)", name)
	}
	h.Write(data)
	return value.OfString(hex.EncodeToString(h.Sum(nil))), nil
}

// jsonMerge merges shallowly: members of the second object replace those of
// the first. Deep merging is not supported by the service either.
func jsonMerge(a []value.Value, _ *rand.Rand) (value.Value, error) {
	for i, what := range []string{"first", "second"} {
		if a[i].Kind() != value.Object {
			return value.Value{}, fmt.Errorf("the %s argument must be an object, not %s", what, a[i].Kind())
		}
	}
	if a[2].Kind() != value.Bool || a[2].Bool() {
		return value.Value{}, errors.New("the third argument must be false: only shallow merging is supported")
	}
	members := make([]value.Member, 0, a[0].Len()+a[1].Len())
	for _, o := range a[:2] {
		for i, x := range o.Items() {
			members = append(members, value.Member{Key: o.Key(i), Value: x})
		}
	}
	return value.OfObject(members...), nil
}

// mathRandom gives a number from the first argument up to, but not including,
// the second. A third one is a seed: equal seeds give equal numbers.
func mathRandom(a []value.Value, r *rand.Rand) (value.Value, error) {
	from, err := integer(a[0], "the start")
	if err != nil {
		return value.Value{}, err
	}
	to, err := integer(a[1], "the end")
	if err != nil {
		return value.Value{}, err
	}
	if from >= to {
		return value.Value{}, errors.New("the start must be less than the end")
	}
	if len(a) == 3 {
		seed, err := integer(a[2], "the seed")
		if err != nil {
			return value.Value{}, err
		}
		r = rand.New(rand.NewPCG(uint64(seed), 0))
	}
	return value.OfInt(from + r.Int64N(to-from)), nil
}

func mathAdd(a []value.Value, _ *rand.Rand) (value.Value, error) {
	x, err := integer(a[0], "the first argument")
	if err != nil {
		return value.Value{}, err
	}
	y, err := integer(a[1], "the second argument")
	if err != nil {
		return value.Value{}, err
	}
	if sum := x + y; sum >= math.MinInt32 && sum <= math.MaxInt32 {
		return value.OfInt(sum), nil
	}
	return value.Value{}, errors.New("the sum is out of range")
}

// stringSplit splits at each character of the second argument and leaves out
// what is empty.
func stringSplit(a []value.Value, _ *rand.Rand) (value.Value, error) {
	s, err := text(a[0], "the first argument")
	if err != nil {
		return value.Value{}, err
	}
	separators, err := text(a[1], "the separator")
	if err != nil {
		return value.Value{}, err
	}
	var parts []value.Value
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		parts = append(parts, value.OfString(part))
	}
	return value.OfArray(parts), nil
}

// uuid is a version 4 UUID.
func uuid(_ []value.Value, r *rand.Rand) (value.Value, error) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return value.OfString(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])), nil
}
