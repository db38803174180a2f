package anneal

import "testing"

// Two contents in a bucket without versions, which S3 calls "null" both, are told
// apart by their sequencers.
func TestObjectVersion(t *testing.T) {
	for _, c := range []struct {
		object        ObjectRef
		want, version string
	}{
		{ObjectRef{VersionID: "v1", Sequencer: "05", ETag: "e"}, "v1", "v1"},
		{ObjectRef{VersionID: "null", Sequencer: "05", ETag: "e"}, "05", ""},
		{ObjectRef{VersionID: "null", ETag: "e"}, "e", ""},
		{ObjectRef{SHA256: "s", VersionID: "v1"}, "s", "v1"},
		{ObjectRef{}, "", ""},
	} {
		if got := (ObjectCreated{Object: c.object}).ObjectVersion(); got != c.want || c.object.Versioned() != c.version {
			t.Errorf("%+v is %q of version %q; want %q of %q", c.object, got, c.object.Versioned(), c.want, c.version)
		}
	}
}
