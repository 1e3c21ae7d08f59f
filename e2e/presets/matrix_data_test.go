//go:build presets

package presets

// dataApps are the databases, name servers, brokers and monitors of the matrix.
func dataApps() []app {
	return []app{postgresApp(), pgbouncerApp(), natsApp(), bindApp(), unboundApp(), dnsmasqApp(), mqttApp(), prometheusApp(), alertmanagerApp(), blackboxApp()}
}
