"""The golden file of internal/events, made with TensorBoard's own messages and record writer.

Writes ../events/testdata/golden.tfevents and reads it back with TensorBoard's readers. Given a folder, it also reads
the event files in it, prints what TensorBoard would show, and fails where a file is damaged:

    python events.py [FOLDER]

Needs tensorboard==2.21.0, numpy==2.4.6 and pillow==13.0.0.
"""

import io
import pathlib
import sys

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
from tensorboard.compat.proto import event_pb2, histogram_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

VALUES = [0.0, 0.5, 0.5, -0.25, 1.5, 1024.0, -3.0, 0.0, 2.0**-60, -(2.0**90)]
TEXT = "| image | caption |\n| --- | --- |\n| 1.png | a zebra \u2013 two |"


def limits():
    up, v = [], 1e-12
    while v < 1e20:
        up.append(v)
        v *= 1.1
    up.append(np.finfo(np.float64).max)
    return [-x for x in reversed(up)] + [0.0] + up


def histogram(values):
    edges = limits()
    buckets = [0] * len(edges)
    for v in values:
        buckets[next(i for i, edge in enumerate(edges) if v < edge)] += 1
    used = [i for i, n in enumerate(buckets) if n]
    limit, bucket = [], []
    for i in range(used[0], used[-1] + 1):
        if bucket and bucket[-1] == 0 and buckets[i] == 0:
            limit[-1] = edges[i]
        else:
            limit.append(edges[i])
            bucket.append(buckets[i])
    return histogram_pb2.HistogramProto(
        min=min(values),
        max=max(values),
        num=len(values),
        sum=sum(values),
        sum_squares=sum(v * v for v in values),
        bucket_limit=limit,
        bucket=bucket,
    )


def picture():
    data = io.BytesIO()
    Image.new("RGBA", (3, 2), (255, 0, 0, 255)).save(data, "png")
    return data.getvalue()


def text(value):
    metadata = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, tensor_shape=tensor_shape_pb2.TensorShapeProto(), string_val=[value.encode()]
    )
    return dict(metadata=metadata, tensor=tensor)


def events():
    def summary(tag, step, **value):
        return dict(step=step, summary=summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, **value)]))

    image = summary_pb2.Summary.Image(height=2, width=3, colorspace=4, encoded_image_string=picture())
    started = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    contents = [
        dict(file_version="brain.Event:2"),
        dict(step=7, session_log=started),
        summary("loss/train", 0, simple_value=0.0),
        summary("loss/train", 300, simple_value=-2.625),
        summary("weights", 50, histo=histogram(VALUES)),
        summary("zeros", 50, histo=histogram([0.0, 0.0])),
        summary("captions", 1, **text(TEXT)),
        summary("zebra", 2, image=image),
    ]
    for i, content in enumerate(contents):
        yield event_pb2.Event(wall_time=1e9 + i / 4, **content)


def show(folder):
    e = event_accumulator.EventAccumulator(str(folder), size_guidance=dict(tensors=0, images=0, histograms=0, scalars=0))
    e.Reload()
    tags = e.Tags()
    for tag in tags["scalars"]:
        print("scalar", tag, [(s.step, s.value) for s in e.Scalars(tag)])
    for tag in tags["histograms"]:
        for h in e.Histograms(tag):
            v = h.histogram_value
            print("histogram", tag, h.step, v.min, v.max, v.num, v.sum, len(v.bucket))
    for tag in tags["images"]:
        for i in e.Images(tag):
            png = Image.open(io.BytesIO(i.encoded_image_string))
            png.load()
            print("image", tag, i.step, i.width, i.height, png.size, png.mode)
    for tag in tags["tensors"]:
        print("tensor", tag, [(t.step, t.tensor_proto.string_val[0].decode()) for t in e.Tensors(tag)])
    # What the present TensorBoard draws: everything becomes a tensor of a plugin.
    p = plugin_event_accumulator.EventAccumulator(str(folder))
    p.Reload()
    plugins = {}
    for tag in p.Tags()["tensors"]:
        name = p.SummaryMetadata(tag).plugin_data.plugin_name
        plugins.setdefault(name, []).append(tag)
    print("plugins", plugins)
    return e, plugins


def main():
    out = pathlib.Path(__file__).parents[1] / "events/testdata/golden.tfevents"
    out.parent.mkdir(parents=True, exist_ok=True)
    with open(out, "wb") as f:
        writer = RecordWriter(f)
        for event in events():
            writer.write(event.SerializeToString())
    (out.parent / "picture.png").write_bytes(picture())
    (out.parent / "text.md").write_text(TEXT)
    e, plugins = show(out)
    assert plugins == dict(
        scalars=["loss/train"], histograms=["weights", "zeros"], images=["zebra"], text=["captions"]
    ), plugins
    assert [(s.step, s.value) for s in e.Scalars("loss/train")] == [(0, 0.0), (300, -2.625)]
    assert e.Tensors("captions")[0].tensor_proto.string_val[0].decode() == TEXT
    if len(sys.argv) > 1:
        show(sys.argv[1])


if __name__ == "__main__":
    main()
