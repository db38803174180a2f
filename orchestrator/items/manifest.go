package items

import (
	"encoding/json"
	"io"
	"strings"

	"github.com/anneal-ml/anneal/objects"
)

// maxManifest is how large a manifest may be, in bytes.
const maxManifest = 64 << 20

// manifest makes the objects that a manifest names the sources.
func (r *Reader) manifest(uri string) error {
	f, _, err := r.store.Open(r.ctx, uri)
	if err != nil {
		return r.failed(uri, err)
	}
	defer f.Close()
	plain, err := unpacked(f, uri)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(plain, maxManifest+1))
	if err != nil {
		return r.failed(uri, err)
	}
	if len(text) > maxManifest {
		return wrong("the manifest has more than %d bytes", maxManifest)
	}
	if r.spec.ManifestType == "ATHENA_DATA" {
		return r.athena(string(text))
	}
	return r.inventory(text)
}

// athena takes the data manifest of Athena's UNLOAD: a URI a line.
func (r *Reader) athena(text string) error {
	r.sources = nil
	for line := range strings.Lines(text) {
		uri := strings.Trim(strings.TrimSpace(line), `"`)
		if uri == "" {
			continue
		}
		if !strings.HasPrefix(uri, "s3://") {
			return wrong("the manifest has %.100q where a URI should be, as in s3://bucket/key", uri)
		}
		r.sources = append(r.sources, objects.Info{URI: uri})
	}
	if r.format == "MANIFEST" { // what UNLOAD wrote is told by the names
		r.format = "PARQUET"
		for kind, end := range map[string]string{"CSV": ".csv", "JSONL": ".jsonl", "JSON": ".json"} {
			if len(r.sources) > 0 && strings.HasSuffix(strings.TrimSuffix(r.sources[0].URI, ".gz"), end) {
				r.format = kind
			}
		}
	}
	return nil
}

// inventory takes the manifest.json of an S3 inventory. Each row of its files,
// an object of the bucket, is an item.
func (r *Reader) inventory(text []byte) error {
	var m struct {
		DestinationBucket string
		FileFormat        string
		FileSchema        string
		Files             []struct{ Key string }
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return wrong("the manifest is not that of an S3 inventory: %v", err)
	}
	bucket := m.DestinationBucket[strings.LastIndexByte(m.DestinationBucket, ':')+1:]
	if bucket == "" || m.FileFormat == "" {
		return wrong(`the manifest is not that of an S3 inventory: it has no "destinationBucket" or no "fileFormat"`)
	}
	switch r.format = strings.ToUpper(m.FileFormat); r.format {
	case "CSV":
		r.columns = nil
		for name := range strings.SplitSeq(m.FileSchema, ",") {
			r.columns = append(r.columns, strings.TrimSpace(name))
		}
	case "PARQUET":
	default:
		return wrong("the inventory is in %s; CSV and Parquet can be read", m.FileFormat)
	}
	r.sources = nil
	for _, f := range m.Files {
		r.sources = append(r.sources, objects.Info{URI: "s3://" + bucket + "/" + f.Key})
	}
	return nil
}
