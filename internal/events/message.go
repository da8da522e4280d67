package events

import (
	"encoding/binary"
	"math"
)

// Field numbers of tensorboard/compat/proto: event.proto, summary.proto, histogram.proto, tensor.proto.
const (
	eventTime        = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5
	eventSessionLog  = 7

	sessionStatus = 1

	summaryValue   = 1
	valueTag       = 1
	valueSimple    = 2
	valueImage     = 4
	valueHistogram = 5
	valueTensor    = 8
	valueMetadata  = 9

	metadataPlugin = 1
	pluginName     = 1

	imageHeight     = 1
	imageWidth      = 2
	imageColorspace = 3
	imageData       = 4

	histogramMin        = 1
	histogramMax        = 2
	histogramCount      = 3
	histogramSum        = 4
	histogramSumSquares = 5
	histogramLimits     = 6
	histogramBuckets    = 7

	tensorType      = 1
	tensorShape     = 2
	tensorStrings   = 8
	tensorOfStrings = 7 // a DataType
)

// message is an encoded protocol buffer. Each method appends a field; as in proto3, a number that is 0
// is left out, but for float32, which is used in a oneof only.
type message []byte

const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

func (m message) key(field, wire int) message {
	return binary.AppendUvarint(m, uint64(field<<3|wire))
}

func (m message) varint(field int, v uint64) message {
	if v == 0 {
		return m
	}
	return binary.AppendUvarint(m.key(field, wireVarint), v)
}

func (m message) float32(field int, v float32) message {
	return binary.LittleEndian.AppendUint32(m.key(field, wire32), math.Float32bits(v))
}

func (m message) float64(field int, v float64) message {
	if v == 0 {
		return m
	}
	return binary.LittleEndian.AppendUint64(m.key(field, wire64), math.Float64bits(v))
}

func (m message) float64s(field int, v []float64) message {
	if len(v) == 0 {
		return m
	}
	m = binary.AppendUvarint(m.key(field, wireBytes), uint64(8*len(v)))
	for _, x := range v {
		m = binary.LittleEndian.AppendUint64(m, math.Float64bits(x))
	}
	return m
}

func (m message) text(field int, v string) message {
	return append(binary.AppendUvarint(m.key(field, wireBytes), uint64(len(v))), v...)
}

func (m message) message(field int, v message) message { return m.text(field, string(v)) }
