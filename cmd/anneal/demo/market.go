package demo

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
)

// What a market consists of.
const (
	MarketTarget  = "class"
	MarketBatches = 12

	periodsPerDay = 48
	batchDays     = 31
	referenceDays = 4 * batchDays
)

// A File is a CSV file with a header.
type File struct {
	Name string
	Rows int
	Data []byte
}

// Market is an electricity market whose law changes: a reference of four
// months, then twelve batches of a month, a row each half hour. The target says
// whether the price is above the median of the last 24 hours (UP or DOWN).
// Equal seeds give equal markets.
//
// Batches 1 to 4 keep the law of the reference; only the weather turns with the
// year. Before batch 5 an interconnector is switched on: far more power flows,
// and imports, which used to come when power was dear, now make it cheap. From
// batch 8 to batch 10 solar power grows month by month, and busy hours turn from
// dear to cheap.
func Market(seed uint64) []File {
	m := &market{rand: rand.New(rand.NewPCG(seed, 0x616e6e65616c))}
	m.month(-1, batchDays) // settles the weather and the prices of the last 24 hours
	files := []File{m.file("reference.csv", 0, referenceDays)}
	for b := 1; b <= MarketBatches; b++ {
		files = append(files, m.file(fmt.Sprintf("batch_%02d.csv", b), b, batchDays))
	}
	return files
}

// A market is the state of the world between two half hours.
type market struct {
	rand *rand.Rand
	day  int

	warmth, breeze, flow float64   // slow deviations, of variance 1
	prices               []float64 // of the last 24 hours, in order
}

// A law is how the market works.
type law struct {
	flow, flowSpread float64 // GW over the interconnector
	wind             float64 // installed, relative
	demand           float64 // GW, mean
	base             float64 // price at the mean of everything

	// What a unit adds to the price.
	perDemand, perWind, perFlow, perDegree float64

	south float64 // share of rows
}

// lawOf is the law in a batch.
func lawOf(batch int) law {
	l := law{
		flow: 0.3, flowSpread: 0.25, wind: 1, demand: 7, base: 50,
		perDemand: 10, perWind: -4, perFlow: 20, perDegree: -0.2,
		south: 0.3,
	}
	if batch >= 5 {
		l.flow, l.flowSpread, l.wind, l.demand, l.base = 0.55, 0.45, 1.4, 7.4, 58
		l.perDemand, l.perWind, l.perFlow = 12, -4, -13
		l.south = 0.5
	}
	if batch >= 8 {
		solar := min(1, float64(batch-7)/3)
		l.flow += 0.6 * solar
		l.wind += 0.9 * solar
		l.demand -= 1.2 * solar
		l.base -= 24 * solar
		l.perDemand -= 16 * solar
		l.perFlow -= 6 * solar
	}
	return l
}

var marketHeader = []string{"weekday", "period", "region", "demand", "temperature", "wind", "transfer", "price_yesterday", MarketTarget}

// file is the next days of the market as CSV.
func (m *market) file(name string, batch, days int) File {
	rows := m.month(batch, days)
	var b bytes.Buffer
	for _, row := range append([][]string{marketHeader}, rows...) {
		for i, cell := range row {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(cell)
		}
		b.WriteByte('\n')
	}
	return File{Name: name, Rows: len(rows), Data: b.Bytes()}
}

// month lives through the next days under the law of batch.
func (m *market) month(batch, days int) [][]string {
	l := lawOf(batch)
	var rows [][]string
	for range days {
		weekday := m.day % 7
		season := math.Sin(2 * math.Pi * float64(m.day) / 365)
		for period := range periodsPerDay {
			rows = append(rows, m.halfHour(l, weekday, period, season))
		}
		m.day++
	}
	return rows
}

func (m *market) halfHour(l law, weekday, period int, season float64) []string {
	drift := func(x *float64, memory float64) float64 {
		*x = memory**x + math.Sqrt(1-memory*memory)*m.normal()
		return *x
	}
	hour := float64(period) / periodsPerDay * 24
	temperature := 15 + 2.5*season + 5*math.Sin(2*math.Pi*(hour-9)/24) + 2*drift(&m.warmth, 0.98)
	wind := l.wind * 2 * math.Exp(0.5*drift(&m.breeze, 0.9))
	flow := l.flow + l.flowSpread*drift(&m.flow, 0.6)
	demand := l.demand + bump(hour, 8, 2) + 1.4*bump(hour, 18.5, 2.5) - 0.9*bump(hour, 3, 3) + 0.3*m.normal()
	if weekday >= 5 {
		demand -= 0.5
	}
	region, local := "north", 0.0
	switch u := m.rand.Float64(); {
	case u < l.south:
		region, local = "south", 5
	case u < l.south+0.25:
		region, local = "coast", -4
	}
	price := l.base + local +
		l.perDemand*(demand-l.demand) +
		l.perWind*(wind-2.26*l.wind) +
		l.perFlow*(flow-l.flow) +
		l.perDegree*(temperature-15) +
		3*m.normal()

	yesterday, class := price, "DOWN"
	if len(m.prices) == periodsPerDay {
		yesterday = m.prices[0]
		if price > median(m.prices) {
			class = "UP"
		}
		m.prices = m.prices[1:]
	}
	m.prices = append(m.prices, price)
	return []string{
		strconv.Itoa(weekday), strconv.Itoa(period), region,
		decimals(demand, 3), m.orMissing(0.01, decimals(temperature, 1)), m.orMissing(0.005, decimals(wind, 3)),
		decimals(flow, 3), decimals(yesterday, 2), class,
	}
}

// bump is a hill of height 1 around an hour of the day.
func bump(hour, at, width float64) float64 {
	away := math.Abs(hour - at)
	away = min(away, 24-away) / width
	return math.Exp(-away * away / 2)
}

// normal is a draw from the standard normal distribution (Box and Muller).
func (m *market) normal() float64 {
	return math.Sqrt(-2*math.Log(1-m.rand.Float64())) * math.Cos(2*math.Pi*m.rand.Float64())
}

// orMissing leaves out one value in 1/share.
func (m *market) orMissing(share float64, cell string) string {
	if m.rand.Float64() < share {
		return ""
	}
	return cell
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func decimals(v float64, n int) string { return strconv.FormatFloat(v, 'f', n, 64) }
