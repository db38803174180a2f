package httptask

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// An Exchange is what was sent and what came back, as TestState tells it at the
// level TRACE.
type Exchange struct {
	// Reveal has what the connection adds told too: its authorization, headers, query
	// and body.
	Reveal bool `json:"-"`

	Request  *Sent     `json:"request,omitempty"`
	Response *Received `json:"response,omitempty"`
}

// Sent is a request.
type Sent struct {
	Protocol string `json:"protocol"`
	Method   string `json:"method"`
	URL      string `json:"url"`
	Headers  string `json:"headers"`
	Body     string `json:"body,omitempty"`
}

// Received is an answer.
type Received struct {
	Protocol      string `json:"protocol"`
	StatusCode    string `json:"statusCode"`
	StatusMessage string `json:"statusMessage"`
	Headers       string `json:"headers"`
	Body          string `json:"body,omitempty"`
}

// sent notes what is about to be sent.
func (x *Exchange) sent(req *http.Request, m merged) {
	if x == nil {
		return
	}
	shown, told := m.own, slices.Clone(m.own.headers)
	if x.Reveal {
		shown = &m
		for _, name := range sortedKeys(req.Header) { // what authorizes it
			if name != "Content-Type" && name != "Range" && name != "User-Agent" && !has(m.headers, name, true) {
				told = append(told, Parameter{name, req.Header.Get(name)})
			}
		}
		told = append(told, m.headers[len(m.own.headers):]...)
	}
	for _, name := range []string{"User-Agent", "Range"} { // no others of its own are told by AWS
		told = append(told, Parameter{name, req.Header.Get(name)})
	}
	x.Request = &Sent{Protocol: m.url.Scheme, Method: m.method, URL: shown.url.String(), Headers: list(told)}
	if shown.body != nil {
		x.Request.Body = *shown.body
	}
	x.Response = nil
}

// received notes an answer.
func (x *Exchange) received(resp *http.Response, body []byte) {
	if x == nil {
		return
	}
	var told []Parameter
	for _, name := range sortedKeys(resp.Header) {
		for _, v := range resp.Header[name] {
			told = append(told, Parameter{spelled(resp, name), v})
		}
	}
	x.Response = &Received{
		Protocol: cmp.Or(resp.Request.URL.Scheme, "https"), StatusCode: strconv.Itoa(resp.StatusCode), StatusMessage: reason(resp.StatusCode),
		Headers: list(told), Body: strings.ToValidUTF8(string(body), "\uFFFD"),
	}
}

// list writes headers as TestState does.
func list(all []Parameter) string {
	var texts []string
	for _, p := range all {
		texts = append(texts, p.Name+": "+strings.ToValidUTF8(p.Value, "\uFFFD"))
	}
	return "[" + strings.Join(texts, ", ") + "]"
}
