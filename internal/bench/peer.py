"""The peer's side of the bench: transformers on PyTorch, as its documentation has one write it.

    peer.py worker                        a job as a JSON line on standard input: run it, print the answer as a JSON line,
                                          and run it again for each further line (see rows.go)
    peer.py start MODEL PICTURE TOKENS    caption a picture, as a user's script does
    peer.py versions NAME…                of installed packages
"""

import importlib.metadata
import json
import sys
import time


def timed(f):
    start = time.perf_counter()
    result = f()
    return result, time.perf_counter() - start


def some(x):
    """Every 997th element: worker.go takes the same."""
    return x.detach().reshape(-1)[::997].tolist()


def load(job):
    """The model and the pictures [batch, 3, size, size]."""
    import numpy as np
    import torch
    from transformers import VisionEncoderDecoderModel

    shape = (job["batch"], 3, job["size"], job["size"])
    pixels = np.fromfile(f"{job['folder']}/pictures.f32", "<f4", count=int(np.prod(shape))).reshape(shape)
    return VisionEncoderDecoderModel.from_pretrained(job["folder"]), torch.from_numpy(pixels)


def encode(job):
    import torch

    model, pixels = load(job)

    def run():
        with torch.inference_mode():
            states, seconds = timed(lambda: model.encoder(pixels).last_hidden_state)
        return {"seconds": [seconds], "values": some(states)}

    return run


def encoded(model, pixels):
    """The encoder's output in the form in which the model takes it."""
    import torch
    from transformers.modeling_outputs import BaseModelOutput

    with torch.no_grad():
        return BaseModelOutput(last_hidden_state=model.encoder(pixels).last_hidden_state)


def finetune(job):
    import torch

    model, pixels = load(job)
    model.train()
    for name, p in model.named_parameters():
        p.requires_grad_("crossattention" in name.split("."))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.01)
    end = model.config.decoder.eos_token_id
    rows = [torch.tensor(ids + [end]) for ids in job["captions"]]
    labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
    inputs = {"encoder_outputs": encoded(model, pixels)} if job["cached"] else {"pixel_values": pixels}

    def step():
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item()

    def run():
        loss, seconds = timed(step)
        return {"seconds": [seconds], "values": [loss]}

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


def log_probabilities(model, outputs, start, sequences):
    """Of each sequence after the start token."""
    import torch

    ids = torch.tensor(sequences)
    with torch.no_grad():
        logits = model(encoder_outputs=outputs, decoder_input_ids=torch.cat([start, ids[:, :-1]], 1)).logits
    return logits.double().log_softmax(-1).gather(2, ids[:, :, None]).sum((1, 2)).tolist()


def gemm(job):
    import torch

    def sawtooth(period, *shape):
        n = shape[0] * shape[1]
        return (torch.arange(n) % period - period // 2).float().reshape(shape)

    products = []
    for p in job["products"]:
        x = sawtooth(7, p["m"], p["k"])
        if p["linear"]:
            f, w = torch.nn.functional.linear, sawtooth(5, p["n"], p["k"])
        else:
            f, w = torch.mm, sawtooth(5, p["k"], p["n"])
        products.append((f, x, w, p["times"]))

    def run():
        answer = {"seconds": [], "values": []}
        with torch.inference_mode():
            for f, x, w, times in products:
                y, seconds = timed(lambda: [f(x, w) for _ in range(times)][-1])
                answer["seconds"].append(seconds / times)
                answer["values"] += some(y)
        return answer

    return run


def worker():
    import torch

    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    run = {"encode": encode, "finetune": finetune, "generate": generate, "gemm": gemm}[job["kind"]](job)
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
    print(json.dumps({name: importlib.metadata.version(name) for name in names}))


if __name__ == "__main__":
    {"worker": worker, "start": start, "versions": versions}[sys.argv[1]](*sys.argv[2:])
