package infra

import (
	"cmp"
	"slices"
	"strings"

	"github.com/anneal-ml/anneal/configs"
)

// channels adds the topics and buses that notices go to.
func (o *of) channels() error {
	for _, name := range slices.Sorted(mapKeys(o.cfg.Settings.Notify)) {
		if err := o.channel(name, o.cfg.Settings.Notify[name]); err != nil {
			return err
		}
	}
	return nil
}

// channel adds the topic or bus of a channel.
func (o *of) channel(name string, c configs.Channel) error {
	key := "notify." + name
	switch {
	case c.SNS != nil:
		role, err := o.role(c.SNS.Role, key+".sns.role")
		if err != nil {
			return err
		}
		arn, parameter, err := o.nameOf(c.SNS.Topic, "topic", key+".sns.topic", `[\w-]+(\.fifo)?`)
		if err != nil {
			return err
		}
		if parameter != "" {
			arn = "arn:${AWS::Partition}:sns:" + cmp.Or(c.SNS.Region, "${AWS::Region}") + ":${AWS::AccountId}:" + parameter
		}
		o.d.Topics = append(o.d.Topics, Target{Channel: name, ARN: arn, Role: role})
	case c.EventBridge != nil:
		role, err := o.role(c.EventBridge.Role, key+".eventbridge.role")
		if err != nil {
			return err
		}
		bus := "default"
		if c.EventBridge.Bus != (configs.Secret{}) {
			value, parameter, err := o.nameOf(c.EventBridge.Bus, "event bus", key+".eventbridge.bus", `[\w./-]+`)
			if err != nil {
				return err
			}
			bus = cmp.Or(value, parameter)
		}
		if !strings.HasPrefix(bus, "arn:") {
			bus = "arn:${AWS::Partition}:events:" + cmp.Or(c.EventBridge.Region, "${AWS::Region}") + ":${AWS::AccountId}:event-bus/" + bus
		}
		o.d.Buses = append(o.d.Buses, Target{Channel: name, ARN: bus, Role: role})
	}
	return nil
}
