"""Vision Transformers: vision/vit/testdata."""

import torch

import common


def states(model, x, **options):
    with torch.no_grad():
        out = model(pixel_values=x.to(model.dtype), output_hidden_states=True, **options)
    named = {f"hidden_states.{i}": h.flatten(0, 1) for i, h in enumerate(out.hidden_states)}
    return named | {"last_hidden_state": out.last_hidden_state.flatten(0, 1)}


def case(name, model, x, seed, meta=None, **options):
    drawn = common.weights(seed)
    common.draw(model, drawn)
    golden = states(model, x, **options)
    golden64 = states(common.double(model), x, **options)
    common.write(f"vision/vit/testdata/{name}", model, {"pixel_values": x} | golden, meta, drawn, golden64)


def main():
    case("plain", common.vit(), common.pixels("plain", 2, 3, 12, 12, 1), 1)


if __name__ == "__main__":
    main()
