"""The peer's side of the bench: transformers on PyTorch, as its documentation has one write it.

    peer.py worker                        a job as a JSON line on standard input: run it, print the answer as a JSON line,
                                          and run it again for each further line (see rows.go)
    peer.py export MODEL FOLDER           the encoder, for OpenVINO and ONNX Runtime
    peer.py start MODEL PICTURE TOKENS    caption a picture, as a user's script does
    peer.py versions NAME…                of installed packages
"""

import importlib.metadata
import importlib.util
import json
import runpy
import sys
import time

BATCH = 8  # of the exported encoder


def timed(f):
    start = time.perf_counter()
    result = f()
    return result, time.perf_counter() - start


def some(x):
    """Every 997th element: worker.go takes the same."""
    return x.detach().reshape(-1)[::997].tolist()


def load(job, pictures=None):
    """The model and pictures [batch, 3, size, size]. To encode and generate, bfloat16 means that the weights are. There is
    no int8 in PyTorch for this: such a row compares with float32."""
    import torch
    from transformers import VisionEncoderDecoderModel

    dtype = torch.bfloat16 if job["precision"] == "bf16" and job["kind"] not in ("finetune", "epochs") else torch.float32
    return VisionEncoderDecoderModel.from_pretrained(job["folder"], dtype=dtype), torch.from_numpy(read(job, pictures)).to(dtype)


def read(job, pictures=None):
    import numpy as np

    shape = (pictures or job["batch"], 3, job["size"], job["size"])
    return np.fromfile(f"{job['folder']}/pictures.f32", "<f4", count=int(np.prod(shape))).reshape(shape)


def encode(job):
    if job["engine"] == "transformers":
        import torch

        model, pixels = load(job)

        def run():
            with torch.inference_mode():
                states, seconds = timed(lambda: model.encoder(pixels).last_hidden_state)
            return {"seconds": [seconds], "values": some(states.float())}

        return run

    import numpy as np

    pixels, infer = read(job), {"openvino": openvino, "onnxruntime": onnxruntime}[job["engine"]](job)

    def run():
        states, seconds = timed(lambda: infer(pixels))
        return {"seconds": [seconds], "values": np.asarray(states).reshape(-1)[::997].astype(float).tolist()}

    return run


def openvino(job):
    import openvino

    request = openvino.Core().compile_model(f"{job['folder']}/exported/encoder.xml", "CPU", {
        "INFERENCE_NUM_THREADS": job["threads"],
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[job["precision"]],
    }).create_infer_request()
    return lambda pixels: request.infer({0: pixels}, share_inputs=True, share_outputs=True)[0]


def onnxruntime(job):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    session = onnxruntime.InferenceSession(f"{job['folder']}/exported/encoder.onnx", options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


def export(folder, out):
    """Each in the form that is fastest for it: OpenVINO reads ONNX too, but is slower on it."""
    import openvino
    import torch
    from transformers import VisionEncoderDecoderModel

    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = VisionEncoderDecoderModel.from_pretrained(folder).encoder.eval()

        def forward(self, pixels):
            return self.encoder(pixels).last_hidden_state

    encoder = Encoder()
    size = encoder.encoder.config.image_size
    pixels = torch.zeros(BATCH, 3, size, size)
    torch.onnx.export(encoder, (pixels,), f"{out}/encoder.onnx", dynamo=True, input_names=["pixels"])
    openvino.save_model(openvino.convert_model(encoder, example_input=pixels), f"{out}/encoder.xml", compress_to_fp16=False)


def encoded(model, pixels):
    """The encoder's output in the form in which the model takes it."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    with torch.no_grad():
        return BaseModelOutput(last_hidden_state=model.encoder(pixels).last_hidden_state)


def trained_cross_attention(model, precision):
    """A function that makes a step, as documentation has one write it, and the parameters that it trains. In bfloat16 it is
    automatic mixed precision, with the frozen weights held in bfloat16, without which it is slower."""
    import torch

    model.train()
    for name, p in model.named_parameters():
        p.requires_grad_("crossattention" in name.split("."))
        if precision == "bf16" and not p.requires_grad:
            p.data = p.data.bfloat16()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.01)

    def step(**inputs):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(**inputs, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item()

    return step, trained


def labels(model, captions):
    import torch

    rows = [torch.tensor(ids + [model.config.decoder.eos_token_id]) for ids in captions]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)


def finetune(job):
    model, pixels = load(job)
    inputs = {"encoder_outputs": encoded(model, pixels)} if job["cached"] else {"pixel_values": pixels}
    if job["cached"] and job["precision"] == "bf16":
        inputs["encoder_outputs"].last_hidden_state = inputs["encoder_outputs"].last_hidden_state.bfloat16()
    inputs["labels"] = labels(model, job["captions"])
    step, _ = trained_cross_attention(model, job["precision"])

    def run():
        loss, seconds = timed(lambda: step(**inputs))
        return {"seconds": [seconds], "values": [loss]}

    return run


def epochs(job):
    """One epoch, from the same weights each time: without kept encoder outputs all are alike."""
    import torch

    model, pixels = load(job, job["pictures"])
    each, size = len(job["captions"]) // job["pictures"], job["batch"]
    captions = [job["captions"][i * each + i % each] for i in range(job["pictures"])]
    batches = [(pixels[i:i + size], labels(model, captions[i:i + size])) for i in range(0, job["pictures"], size)]
    start = None

    def run():
        nonlocal start
        step, trained = trained_cross_attention(model, job["precision"])
        if start is None:
            start = [p.detach().clone() for p in trained]
        with torch.no_grad():
            for p, value in zip(trained, start):
                p.copy_(value)
        losses, seconds = timed(lambda: [step(pixel_values=x, labels=y) for x, y in batches])
        return {"seconds": [seconds], "values": losses}

    return run


def generate(job):
    import torch

    model, pixels = load(job)
    outputs = encoded(model, pixels)
    start = torch.full((job["batch"], 1), model.generation_config.decoder_start_token_id)
    options = dict(num_beams=job["beams"], min_new_tokens=job["new_tokens"], max_new_tokens=job["new_tokens"])
    if job["sample"]:
        options |= dict(do_sample=True, top_k=1000, top_p=0.95)
    scores = {"values": log_probabilities(model, outputs, start, job["score"])} if job["score"] else {}

    def run():
        ids, seconds = timed(lambda: model.generate(encoder_outputs=type(outputs)(outputs), decoder_input_ids=start, **options))
        return {"seconds": [seconds], "tokens": ids[:, 1:].tolist()} | scores

    return run


def throughput(job):
    import torch

    model, pixels = load(job)
    outputs = encoded(model, pixels).last_hidden_state
    start = torch.full((job["batch"], 1), model.generation_config.decoder_start_token_id)

    def run():
        from transformers.modeling_outputs import BaseModelOutput

        answer = {"seconds": [], "tokens": []}
        for cell in job["cells"]:
            n = cell["batch"]
            ids, seconds = timed(lambda: model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=outputs[:n]), decoder_input_ids=start[:n],
                num_beams=cell["beams"], min_new_tokens=job["new_tokens"], max_new_tokens=job["new_tokens"]))
            answer["seconds"].append(seconds)
            answer["tokens"] += ids[:, 1:].tolist()
        return answer

    return run


def log_probabilities(model, outputs, start, sequences):
    """Of each sequence after the start token."""
    import torch

    ids = torch.tensor(sequences)
    with torch.no_grad():
        logits = model(encoder_outputs=outputs, decoder_input_ids=torch.cat([start, ids[:, :-1]], 1)).logits
    return logits.double().log_softmax(-1).gather(2, ids[:, :, None]).sum((1, 2)).tolist()


def products(job):
    import torch

    def sawtooth(period, dtype, *shape):
        n = shape[0] * shape[1]
        return (torch.arange(n) % period - period // 2).to(dtype).reshape(shape)

    products = []
    for p in job["products"]:
        dtype = torch.bfloat16 if p["precision"] == "bf16" else torch.float32
        x = sawtooth(7, dtype, p["m"], p["k"])
        if p["linear"]:
            f, w = torch.nn.functional.linear, sawtooth(5, dtype, p["n"], p["k"])
        else:
            f, w = torch.mm, sawtooth(5, dtype, p["k"], p["n"])
        products.append((f, x, w, p["times"]))

    def run():
        answer = {"seconds": [], "values": []}
        with torch.inference_mode():
            for f, x, w, times in products:
                y, seconds = timed(lambda: [f(x, w) for _ in range(times)][-1])
                answer["seconds"].append(seconds / times)
                answer["values"] += some(y.float())
        return answer

    return run


KINDS = {"encode": encode, "finetune": finetune, "epochs": epochs, "generate": generate, "throughput": throughput,
         "gemm": products, "held": products}


def worker():
    job = json.loads(sys.stdin.readline())
    if job["engine"] in ("", "transformers"):  # the others need no torch, nor its memory
        import torch

        torch.set_num_threads(job["threads"])
    run = KINDS[job["kind"]](job)
    while True:
        print(json.dumps(run()), flush=True)
        if not sys.stdin.readline():
            return


def start(folder, picture, tokens):
    from PIL import Image
    from transformers import AutoTokenizer, VisionEncoderDecoderModel, ViTImageProcessorPil

    model = VisionEncoderDecoderModel.from_pretrained(folder)
    processor = ViTImageProcessorPil.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pixels = processor(Image.open(picture).convert("RGB"), return_tensors="pt").pixel_values
    ids = model.generate(pixels, min_new_tokens=int(tokens), max_new_tokens=int(tokens))[0]
    caption = tokenizer.decode(ids, skip_special_tokens=True)
    print(json.dumps({"caption": caption, "token_ids": ids[1:].tolist()}))


def versions(*names):
    found = {name: importlib.metadata.version(name) for name in names}
    if "torch" in found:  # its metadata does not tell the build, as in 2.15.0+cpu
        folder = importlib.util.find_spec("torch").submodule_search_locations[0]
        found["torch"] = runpy.run_path(f"{folder}/version.py")["__version__"]
    print(json.dumps(found))


if __name__ == "__main__":
    {"worker": worker, "export": export, "start": start, "versions": versions}[sys.argv[1]](*sys.argv[2:])
