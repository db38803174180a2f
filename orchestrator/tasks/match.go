package tasks

import "strings"

// match looks something up by any of its names: exactly, then by the longest
// glob.
func match[V any](m map[string]V, names ...string) (value V, ok bool) {
	for _, name := range names {
		if v, ok := m[name]; ok {
			return v, true
		}
	}
	best := ""
	for pattern, v := range m {
		if len(pattern) < len(best) || len(pattern) == len(best) && pattern > best {
			continue
		}
		for _, name := range names {
			if glob(pattern, name) {
				best, value, ok = pattern, v, true
				break
			}
		}
	}
	return value, ok
}

// glob reports whether the pattern covers the whole name: `*` is any run of
// letters, `/` and `:` too, and `?` is one.
func glob(pattern, name string) bool {
	star, mark := -1, 0 // the newest star, and what it covers up to
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0: // let the star cover one more
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// functionName is a function's own name.
func functionName(written string) string {
	if i := strings.LastIndex(written, "function:"); i >= 0 {
		written = written[i+len("function:"):]
	}
	name, _, _ := strings.Cut(written, ":") // the qualifier
	return name
}

// functionNames are the names of a function: its own, then as it was written,
// then without a qualifier.
func functionNames(written string) []string {
	name, prefix := functionName(written), ""
	if i := strings.LastIndex(written, "function:"); i >= 0 {
		prefix = written[:i+len("function:")]
	}
	return []string{name, written, prefix + name}
}

// imageNames are the names of an image: the last component of its repository,
// then as it was written, then without tag and digest.
func imageNames(uri string) []string {
	plain, _, _ := strings.Cut(uri, "@")
	slash := strings.LastIndex(plain, "/")
	if i := strings.LastIndex(plain, ":"); i > slash { // not a registry's port
		plain = plain[:i]
	}
	return []string{plain[slash+1:], uri, plain}
}

// topicNames are the names of a topic: its own, then its ARN.
func topicNames(arn string) []string {
	return []string{arn[strings.LastIndex(arn, ":")+1:], arn}
}
