package jsonata

// define makes a function of this package. Arity is how many parameters its
// JavaScript twin has: higher-order functions look at it.
func define(name, takes string, arity int, do native) *function {
	s, err := parseSignature(takes)
	if err != nil {
		panic(err) // unreachable: the signatures stand below
	}
	return &function{name: name, signature: s, arity: arity, native: do}
}

// strict has a function give undefined for undefined.
func strict(do native) native {
	return func(e *evaluation, c *arguments) (val, error) {
		if !c.at(0).defined() {
			return val{}, nil
		}
		return do(e, c)
	}
}

func table(list ...*function) map[string]*function {
	all := make(map[string]*function, len(list))
	for _, f := range list {
		all[f.name] = f
	}
	return all
}

// builtins are the functions of JSONata 2.0.6.
var builtins = table(
	define("sum", "<a<n>:n>", 1, strict(sum)),
	define("count", "<a:n>", 1, count),
	define("max", "<a<n>:n>", 1, strict(maximum)),
	define("min", "<a<n>:n>", 1, strict(minimum)),
	define("average", "<a<n>:n>", 1, strict(average)),
	define("string", "<x-b?:s>", 1, strict(toText)),
	define("substring", "<s-nn?:s>", 3, strict(substring)),
	define("substringBefore", "<s-s:s>", 2, strict(substringBefore)),
	define("substringAfter", "<s-s:s>", 2, strict(substringAfter)),
	define("lowercase", "<s-:s>", 1, strict(lowercase)),
	define("uppercase", "<s-:s>", 1, strict(uppercase)),
	define("length", "<s-:n>", 1, strict(length)),
	define("trim", "<s-:s>", 1, strict(trim)),
	define("pad", "<s-ns?:s>", 3, strict(pad)),
	define("match", "<s-f<s:o>n?:a<o>>", 3, strict(matches)),
	define("contains", "<s-(sf):b>", 2, strict(contains)),
	define("replace", "<s-(sf)(sf)n?:s>", 4, strict(replace)),
	define("split", "<s-(sf)n?:a<s>>", 3, strict(split)),
	define("join", "<a<s>s?:s>", 2, strict(join)),
	define("formatNumber", "<n-so?:s>", 3, strict(formatNumber)),
	define("formatBase", "<n-n?:s>", 2, strict(formatBase)),
	define("formatInteger", "<n-s:s>", 2, strict(formatInteger)),
	define("parseInteger", "<s-s:n>", 2, strict(parseInteger)),
	define("number", "<(nsb)-:n>", 1, strict(toNumber)),
	define("floor", "<n-:n>", 1, strict(floor)),
	define("ceil", "<n-:n>", 1, strict(ceil)),
	define("round", "<n-n?:n>", 2, strict(round)),
	define("abs", "<n-:n>", 1, strict(abs)),
	define("sqrt", "<n-:n>", 1, strict(sqrt)),
	define("power", "<n-n:n>", 2, strict(power2)),
	define("random", "<:n>", 0, random),
	define("boolean", "<x-:b>", 1, strict(toBoolean)),
	define("not", "<x-:b>", 1, strict(not)),
	define("map", "<af>", 2, strict(mapped)),
	define("zip", "<a+>", 0, zip),
	define("filter", "<af>", 2, strict(filtered)),
	define("single", "<af?>", 2, strict(single)),
	define("reduce", "<afj?:j>", 3, strict(reduce)),
	define("sift", "<o-f?:o>", 2, sift),
	define("keys", "<x-:a<s>>", 1, keys),
	define("lookup", "<x-s:x>", 2, lookup),
	define("append", "<xx:a>", 2, appended),
	define("exists", "<x:b>", 1, exists),
	define("spread", "<x-:a<o>>", 1, spread),
	define("merge", "<a<o>:o>", 1, strict(merge)),
	define("reverse", "<a:a>", 1, strict(reverse)),
	define("each", "<o-f:a>", 2, each),
	define("error", "<s?:x>", 1, raise),
	define("assert", "<bs?:x>", 2, assert),
	define("type", "<x:s>", 1, strict(typeOf)),
	define("sort", "<af?:a>", 2, strict(sorted)),
	define("shuffle", "<a:a>", 1, strict(shuffle)),
	define("distinct", "<x:x>", 1, strict(distinct)),
	define("base64encode", "<s-:s>", 1, strict(base64Encode)),
	define("base64decode", "<s-:s>", 1, strict(base64Decode)),
	define("encodeUrlComponent", "<s-:s>", 1, strict(encodeURL("encodeUrlComponent", componentMarks))),
	define("encodeUrl", "<s-:s>", 1, strict(encodeURL("encodeUrl", urlMarks))),
	define("decodeUrlComponent", "<s-:s>", 1, strict(decodeURL("decodeUrlComponent", ""))),
	define("decodeUrl", "<s-:s>", 1, strict(decodeURL("decodeUrl", reservedMarks))),
	define("eval", "<sx?:x>", 2, strict(eval)),
	define("toMillis", "<s-s?:n>", 2, strict(toMillis)),
	define("fromMillis", "<n-s?s?:s>", 3, strict(fromMillis)),
	define("clone", "<(oa)-:o>", 1, strict(clone)),
	define("now", "<s?s?:s>", 2, now),
	define("millis", "<:n>", 0, millis),
)
