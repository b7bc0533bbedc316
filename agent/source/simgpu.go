package source

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"gpupulse/sdk/telemetry"
)

// An H100 80GB HBM3 as DCGM shows it. The figures are those of 247 real ones at one moment.
const (
	simModel  = "NVIDIA H100 80GB HBM3"
	simDriver = "535.129.03"

	visibleMiB  = 81007.0 // used and free together
	emptyMiB    = 4.0     // used with no process on the GPU
	idleClock   = 345.0   // MHz with no process
	workClock   = 1980.0  // MHz as soon as a process has a context, whether it computes or not
	memoryClock = 2619.0
	clockStep   = 15.0 // MHz

	idleWatts    = 70.0  // no process
	contextWatts = 112.0 // a process that does nothing
	peakWatts    = 690.0 // everything at work

	slowdownCelsius   = 84.0 // the clock goes down from here
	slowdownPerDegree = 60.0 // MHz
	throttledClock    = 990.0

	powerLag = 1500 * time.Millisecond // regulators and the sensor's own averaging
	heatLag  = 25 * time.Second        // of the heat sink
)

// simGPU is one device: what it is like, what it does, what its sensors show.
type simGPU struct {
	id, host string
	labels   map[string]string
	noise    *rand.Rand

	inlet   float64 // °C of the air that reaches it
	cooling float64 // °C more for each W

	job     *simJob
	heldMiB float64 // memory of a job that has ended and was not freed
	heldFor time.Duration

	util, copyUtil float64 // 0 to 1
	usedMiB        float64
	clock          float64 // MHz
	watts, celsius float64
	joules         float64
	xid            float64 // the last code, 0 for none
	xidFor         time.Duration
}

// newSimGPU makes a device with a place in the machine room. Noise is its own, so
// that what one device does is not changed by how many others there are.
func newSimGPU(seed uint64, host string, hostInlet float64, index, number int) *simGPU {
	noise := rand.New(rand.NewPCG(seed, uint64(number)+1))
	a, b := noise.Uint64(), noise.Uint64()
	g := &simGPU{
		id:   fmt.Sprintf("GPU-%08x-%04x-%04x-%04x-%012x", uint32(a>>32), uint16(a>>16), uint16(a), uint16(b>>48), b&(1<<48-1)),
		host: host,
		labels: map[string]string{
			telemetry.LabelModel: simModel, telemetry.LabelDevice: "nvidia" + strconv.Itoa(index),
			telemetry.LabelIndex: strconv.Itoa(index), telemetry.LabelDriver: simDriver,
		},
		noise: noise, inlet: hostInlet + 2*noise.Float64(), cooling: 0.048 + 0.014*noise.Float64(),
		clock: idleClock, usedMiB: emptyMiB, watts: idleWatts, joules: 1e9 * noise.Float64(),
	}
	g.celsius = g.inlet + g.cooling*g.watts
	return g
}

// step lets time pass. Every lag is an exponential one.
func (g *simGPU) step(dt time.Duration) {
	g.work()
	g.clock = g.nextClock()
	g.watts += (g.wantedWatts() - g.watts) * follow(dt, powerLag)
	g.celsius += (g.inlet + g.cooling*g.watts - g.celsius) * follow(dt, heatLag)
	g.joules += g.watts * dt.Seconds()
	if g.heldFor -= dt; g.heldFor <= 0 {
		g.heldFor, g.heldMiB = 0, 0
	}
	if g.xidFor -= dt; g.xidFor <= 0 {
		g.xidFor, g.xid = 0, 0 // somebody has reset the device
	}
}

// work takes the share of its job that falls to this device.
func (g *simGPU) work() {
	g.util, g.copyUtil, g.usedMiB = 0, 0, emptyMiB+g.heldMiB
	if g.job == nil {
		return
	}
	load := g.job.load()
	if g.clock >= g.job.slowest {
		// All devices of a job step together: the fast ones wait for the slowest.
		load *= g.job.slowest / g.clock
	}
	if load > 0 {
		load += 0.012 * g.noise.NormFloat64()
	}
	g.util = math.Min(math.Max(load, 0), 1)
	g.copyUtil = g.util * g.job.memoryShare
	g.usedMiB = math.Min(g.usedMiB+g.job.memory(), visibleMiB)
}

// busy tells whether a process is on the device.
func (g *simGPU) busy() bool { return g.job != nil || g.heldMiB > 0 }

func (g *simGPU) nextClock() float64 {
	if !g.busy() {
		return idleClock
	}
	over := math.Max(g.celsius-slowdownCelsius, 0)
	steps := math.Round((workClock - over*slowdownPerDegree) / clockStep)
	return math.Max(steps*clockStep, throttledClock)
}

func (g *simGPU) wantedWatts() float64 {
	if !g.busy() {
		return idleWatts + g.noise.NormFloat64()
	}
	if g.job == nil {
		return contextWatts + g.noise.NormFloat64()
	}
	// Power goes with the square of the clock: voltage comes down with it.
	ratio := g.clock / workClock
	dynamic := (peakWatts - contextWatts) * g.util * g.job.intensity * ratio * ratio
	return math.Min(contextWatts+dynamic*(1+0.015*g.noise.NormFloat64()), peakWatts+10)
}

// sensors are the values as DCGM reports them, in its units and its precision, in
// the order of simMetrics.
func (g *simGPU) sensors() [12]float64 {
	used := math.Round(g.usedMiB)
	return [12]float64{
		math.Round(100 * g.util), math.Round(100 * g.copyUtil), math.Round(g.watts*1000) / 1000, math.Round(g.celsius),
		used, visibleMiB - used, 0, 0,
		g.clock, memoryClock, g.xid, math.Round(g.joules * 1000),
	}
}

// follow is how much of a gap closes in dt if it closes with a time constant.
func follow(dt, lag time.Duration) float64 {
	return 1 - math.Exp(-dt.Seconds()/lag.Seconds())
}
