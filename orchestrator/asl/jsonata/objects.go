package jsonata

// keys are those of an object, or of all objects in a list.
func keys(e *evaluation, c *arguments) (val, error) {
	out := &object{}
	err := e.gatherKeys(c.at(0), out)
	items := make([]val, len(out.keys))
	for i, k := range out.keys {
		items[i] = ofText(k)
	}
	return ofArray(sequence(items...)), err
}

func (e *evaluation) gatherKeys(v val, into *object) error {
	if v.kind != dict && v.kind != list {
		return nil
	}
	if err := e.enter(); err != nil {
		return err
	}
	if err := e.spend(v.len()); err != nil {
		return err
	}
	for i := range v.len() {
		if v.kind == dict {
			into.set(v.key(i), val{})
		} else if err := e.gatherKeys(v.at(i), into); err != nil {
			return err
		}
	}
	return e.leave()
}

func lookup(e *evaluation, c *arguments) (val, error) { return e.find(c.at(0), c.at(1).str()) }

func exists(_ *evaluation, c *arguments) (val, error) { return ofBool(c.at(0).defined()), nil }

// spread is a list of objects with one member each.
func spread(e *evaluation, c *arguments) (val, error) {
	v := c.at(0)
	switch v.kind {
	case dict:
		out := sequence()
		if err := e.spend(v.len()); err != nil {
			return val{}, err
		}
		for i := range v.len() {
			out.items = append(out.items, ofObject(&object{keys: []string{v.key(i)}, vals: []val{v.at(i)}}))
		}
		return ofArray(out), nil
	case list:
		if err := e.enter(); err != nil {
			return val{}, err
		}
		out := sequence()
		for i := range v.len() {
			x, err := spread(e, &arguments{list: []val{v.at(i)}})
			if err != nil {
				return x, err
			}
			if !x.defined() {
				continue
			}
			out.sequence = false // $append makes a new array
			if err := e.extend(out, listOf(x)); err != nil {
				return val{}, err
			}
		}
		return ofArray(out), e.leave()
	}
	return v, nil
}

func merge(e *evaluation, c *arguments) (val, error) {
	a := c.at(0)
	out := &object{}
	for i := range a.len() {
		o := a.at(i)
		if err := e.spend(o.len() + 1); err != nil {
			return val{}, err
		}
		for k := range o.len() {
			out.set(o.key(k), o.at(k))
		}
	}
	return ofObject(out), nil
}

func each(e *evaluation, c *arguments) (val, error) {
	o, f := c.at(0), c.at(1)
	out := sequence()
	if o.kind != dict {
		return ofArray(out), nil
	}
	for i := range o.len() {
		v, err := e.with(f, c, o.at(i), ofText(o.key(i)), o)
		if err != nil {
			return v, err
		}
		if v.defined() {
			out.items = append(out.items, v)
		}
	}
	return ofArray(out), nil
}

func sift(e *evaluation, c *arguments) (val, error) {
	o, f := c.at(0), c.at(1)
	out := &object{}
	if o.kind != dict {
		return val{}, nil
	}
	for i := range o.len() {
		if f.kind != callable {
			return val{}, &Error{Code: "T0410", index: 2, value: f}
		}
		v, err := e.with(f, c, o.at(i), ofText(o.key(i)), o)
		if err != nil {
			return v, err
		}
		yes, err := e.boolOf(v)
		if err != nil {
			return v, err
		}
		if yes {
			out.set(o.key(i), o.at(i))
		}
	}
	if len(out.keys) == 0 {
		return val{}, nil
	}
	return ofObject(out), nil
}

// clone is a copy that shares nothing, made as by way of JSON.
func clone(e *evaluation, c *arguments) (val, error) {
	v := c.at(0)
	if a := v.array(); a != nil && a.outer {
		v = a.at(0)
	}
	return e.copy(v)
}

func (e *evaluation) copy(v val) (val, error) {
	switch v.kind {
	case number:
		if ok, err := finite(v); !ok {
			return valNull, err
		}
		if f := rounded(v.num); f != v.num {
			return ofNumber(f), nil
		}
		return v, nil
	case undefined:
		return valNull, nil
	case callable:
		return ofText(""), nil
	case list, dict:
	default:
		return v, nil
	}
	if err := e.enter(); err != nil {
		return val{}, err
	}
	n := v.len()
	if err := e.spend(n); err != nil {
		return val{}, err
	}
	items := make([]val, 0, n)
	names := make([]string, 0, n)
	for i := range n {
		item := v.at(i)
		if v.kind == dict {
			if !item.defined() {
				continue
			}
			names = append(names, v.key(i))
		}
		x, err := e.copy(item)
		if err != nil {
			return x, err
		}
		items = append(items, x)
	}
	if v.kind == list {
		return plain(items), e.leave()
	}
	o := &object{}
	for i, k := range names {
		o.set(k, items[i])
	}
	return ofObject(o), e.leave()
}

func typeOf(_ *evaluation, c *arguments) (val, error) {
	return ofText([...]string{null: "null", boolean: "boolean", number: "number", text: "string", list: "array", dict: "object", callable: "function"}[c.at(0).kind]), nil
}

func toBoolean(e *evaluation, c *arguments) (val, error) {
	yes, err := e.boolOf(c.at(0))
	return ofBool(yes), err
}

func not(e *evaluation, c *arguments) (val, error) {
	yes, err := e.boolOf(c.at(0))
	return ofBool(!yes), err
}

func raise(_ *evaluation, c *arguments) (val, error) {
	message := c.at(0).str()
	if message == "" {
		message = "$error() function evaluated"
	}
	return val{}, &Error{Code: "D3137", raw: message}
}

func assert(_ *evaluation, c *arguments) (val, error) {
	if c.at(0).isTrue() {
		return val{}, nil
	}
	message := c.at(1).str()
	if message == "" {
		message = "$assert() statement failed"
	}
	return val{}, &Error{Code: "D3141", raw: message}
}

// eval evaluates an expression that is a string.
func eval(e *evaluation, c *arguments) (val, error) {
	source := c.at(0).str()
	if err := e.spendText(len(source) * 16); err != nil {
		return val{}, err
	}
	in := c.in
	if focus := c.at(1); focus.defined() {
		if in = focus; in.kind == list && !in.isSequence() {
			in = ofArray(&array{items: []val{in}, sequence: true, outer: true})
		}
	}
	wrap := func(code string, err error) error {
		x := err.(*Error) // there is no other
		if x.Code == "U1001" {
			return x
		}
		x = x.finish(source)
		return &Error{Code: code, value: ofText(x.Message)}
	}
	n, bad := read(source)
	if bad != nil {
		return val{}, wrap("D3120", bad)
	}
	v, err := e.compile(n)(e, in, c.env)
	if err != nil {
		return v, wrap("D3121", err)
	}
	return v, nil
}
