package policy

import (
	"fmt"
	"strings"
	"time"
)

// zoneNames are time zones for people who have written another; every IANA
// name is known, whether it is here or not.
const zoneNames = `Africa/Cairo Africa/Casablanca Africa/Johannesburg Africa/Lagos Africa/Nairobi
America/Anchorage America/Argentina/Buenos_Aires America/Bogota America/Caracas America/Chicago America/Denver
America/Halifax America/Lima America/Los_Angeles America/Mexico_City America/Montreal America/New_York
America/Phoenix America/Santiago America/Sao_Paulo America/Toronto America/Vancouver
Asia/Bangkok Asia/Dhaka Asia/Dubai Asia/Ho_Chi_Minh Asia/Hong_Kong Asia/Jakarta Asia/Jerusalem Asia/Karachi
Asia/Kolkata Asia/Kuala_Lumpur Asia/Manila Asia/Riyadh Asia/Seoul Asia/Shanghai Asia/Singapore Asia/Taipei
Asia/Tashkent Asia/Tehran Asia/Tokyo Atlantic/Reykjavik Australia/Adelaide Australia/Brisbane Australia/Melbourne
Australia/Perth Australia/Sydney Europe/Amsterdam Europe/Athens Europe/Belgrade Europe/Berlin Europe/Brussels
Europe/Bucharest Europe/Budapest Europe/Copenhagen Europe/Dublin Europe/Helsinki Europe/Istanbul Europe/Kyiv
Europe/Lisbon Europe/London Europe/Luxembourg Europe/Madrid Europe/Moscow Europe/Oslo Europe/Paris
Europe/Prague Europe/Riga Europe/Rome Europe/Sofia Europe/Stockholm Europe/Tallinn Europe/Vienna Europe/Vilnius
Europe/Warsaw Europe/Zurich Pacific/Auckland Pacific/Honolulu UTC`

// zone is the time zone of that name, nil if there is none.
func (k *Compiler) zone(name string) *time.Location {
	if location := k.zones[name]; location != nil {
		return location
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	k.zones[name] = location
	return location
}

// unknownZone says what is wrong with the name of a time zone that is none.
func unknownZone(name string) string {
	best := ""
	var names []string
	for _, known := range strings.Fields(zoneNames) {
		if _, err := time.LoadLocation(known); err != nil {
			continue
		}
		city := known[strings.LastIndexByte(known, '/')+1:]
		if strings.EqualFold(strings.ReplaceAll(name, " ", "_"), city) {
			best = known
		}
		names = append(names, known)
	}
	if best == "" {
		best = Nearest(strings.ReplaceAll(name, " ", "_"), names)
	}
	if best != "" {
		return fmt.Sprintf("unknown time zone %q: did you mean %q?", name, best)
	}
	return fmt.Sprintf("unknown time zone %q: write an IANA name such as Europe/Berlin or UTC", name)
}
