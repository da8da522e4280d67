"""Pictures of every kind, and what Pillow and transformers' PIL backend make of them: vision/testdata.

images/         the pictures. Those called emoji-* are sources (Noto Emoji); the others are written here.
rgb/X.png       Image.open(images/X).convert("RGB")
white/X.png     X on white, as transformers' convert_to_rgb lays it; of pictures with alpha
resized/        SOURCE_WIDTHxHEIGHT_FILTER.png: Image.resize of rgb/SOURCE
processors.json preprocessor configurations, and the SHA-256 of the float32 pixel values that each gives
processors.f32  the values of the small ones, one after the other
"""

import glob
import hashlib
import io
import json
import os
import shutil
import struct
import zlib

import numpy as np
import transformers
import transformers.image_transforms
from PIL import Image, ImageDraw, ImageFont

import prng

FOLDER = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "..", "vision", "testdata"))
MADE = ["rgb", "white", "resized"]


def picture(width, height, seed):
    """Smooth colours, an ellipse, text and a little noise."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([128 + 120 * np.sin((x * a + y * b) / (9 + 2 * seed)) for a, b in [(1, 0.3), (0.2, 1), (0.7, -0.7)]], -1)
    noise = prng.integers("noise", waves.size, -6, 7, seed).reshape(waves.shape)
    image = Image.fromarray((waves + noise).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    draw.ellipse([width * 0.5, height * 0.1, width * 0.9, height * 0.6], fill=(230, 40, 20))
    draw.text((width * 0.1, height * 0.5), "ekphrasis", fill=(255, 255, 255), font=ImageFont.load_default(size=10))
    return image


def noise(shape, seed):
    return prng.integers("values", int(np.prod(shape)), 0, 256, seed).astype(np.uint8).reshape(shape)


# PNG: Pillow writes neither interlaced files, nor 2- and 4-bit greys, nor 16-bit colours.

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, depth, color_type, palette=None, transparency=None, interlaced=False):
    """samples [height, width, channels] of depth bits."""
    height, width, _ = samples.shape
    rows = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        for row in part.reshape(len(part), -1):
            bits = "".join(f"{v:0{depth}b}" for v in row)
            bits += "0" * (-len(bits) % 8)
            rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if palette is not None:
        out += chunk(b"PLTE", palette.tobytes())
    if transparency is not None:
        out += chunk(b"tRNS", transparency)
    return out + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def pngs():
    for depth in (1, 2, 4, 8, 16):
        for interlaced in (False, True):
            values = prng.integers("grey", 13 * 11, 0, 2**depth, depth).reshape(11, 13, 1)
            yield f"grey{depth}{'-interlaced' * interlaced}.png", png(values, depth, 0, interlaced=interlaced)
        yield f"grey{depth}-transparent.png", png(values, depth, 0, transparency=struct.pack(">H", int(values[3, 3, 0])))
    for depth in (1, 2, 4, 8):
        indices = prng.integers("index", 13 * 11, 0, 2**depth, depth).reshape(11, 13, 1)
        palette = noise((2**depth, 3), depth)
        for interlaced in (False, True):
            yield f"palette{depth}{'-interlaced' * interlaced}.png", png(indices, depth, 3, palette, interlaced=interlaced)
        yield f"palette{depth}-transparent.png", png(indices, depth, 3, palette, noise((2**depth // 2,), 9).tobytes())
        yield f"palette{depth}-short.png", png(indices, depth, 3, palette[: len(palette) // 2])
    for depth in (8, 16):
        for name, color_type, channels in [("rgb", 2, 3), ("grey-alpha", 4, 2), ("rgba", 6, 4)]:
            values = prng.integers(name, 13 * 11 * channels, 0, 2**depth, depth).reshape(11, 13, channels)
            for interlaced in (False, True):
                yield f"{name}{depth}{'-interlaced' * interlaced}.png", png(values, depth, color_type, interlaced=interlaced)
        values = prng.integers("rgb", 13 * 11 * 3, 0, 2**depth, depth).reshape(11, 13, 3)
        color = struct.pack(">3H", *(int(v) for v in values[2, 2]))
        yield f"rgb{depth}-transparent.png", png(values, depth, 2, transparency=color)
    yield "rgb8-1x1.png", png(noise((1, 1, 3), 1), 8, 2, interlaced=True)


# JPEG


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def resampled(data, sampling):
    """The same entropy-coded blocks with another sampling of the first component."""
    at = data.index(b"\xff\xc0") if b"\xff\xc0" in data else data.index(b"\xff\xc2")
    return data[: at + 11] + bytes([sampling]) + data[at + 12 :]


def adobe_transform(data, transform):
    at = data.index(b"Adobe") + 11
    return data[:at] + bytes([transform]) + data[at + 1 :]


def damaged(data, start, stop):
    return data[:start] + bytes(0x55 for _ in range(start, stop)) + data[stop:]


def segments(data):
    """{marker: segment with its marker}, and what follows the header of the first scan."""
    at, out = 2, {}
    while True:
        marker, n = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        out[marker] = out.get(marker, b"") + data[at : at + 2 + n]
        at += 2 + n
        if marker == 0xDA:
            return out, data[at:-2]


def separate_scans(image):
    """A baseline 4:2:0 picture with a scan for each component, made of three grey ones."""
    y, cb, cr = image.convert("YCbCr").split()
    half = ((image.width + 1) // 2, (image.height + 1) // 2)
    out = b"\xff\xd8"
    for i, plane in enumerate([y, cb.resize(half), cr.resize(half)]):
        parts, scan = segments(saved(plane, "jpeg", quality=70))
        if i == 0:
            frame = struct.pack(">BHHB", 8, image.height, image.width, 3) + bytes([1, 0x22, 0, 2, 0x11, 0, 3, 0x11, 0])
            out += parts[0xDB] + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + parts[0xC4]
        out += b"\xff\xda\x00\x08\x01" + bytes([i + 1]) + b"\x00\x00\x3f\x00" + scan
    return out + b"\xff\xd9"


def wide_tables(data):
    """The same picture with 16-bit quantisation tables, which makes it extended sequential."""
    parts, _ = segments(data)
    old, new = parts[0xDB], b""
    while old:
        n = struct.unpack(">H", old[2:4])[0]
        table = old[5 : 2 + n]
        new += b"\xff\xdb" + struct.pack(">HB", n + 64, old[4] | 0x10) + b"".join(bytes([0, v]) for v in table)
        old = old[2 + n :]
    return data.replace(parts[0xDB], new).replace(b"\xff\xc0", b"\xff\xc1", 1)


def jpegs():
    for size in [(1, 1), (2, 2), (3, 5), (4, 9), (5, 3), (16, 16), (17, 33), (53, 41)]:
        image = picture(*size, seed=1)
        for sampling in (0, 1, 2):
            for progressive in (False, True):
                name = f"{('444', '422', '420')[sampling]}{'-progressive' * progressive}-{size[0]}x{size[1]}.jpg"
                yield name, saved(image, "jpeg", quality=85, subsampling=sampling, progressive=progressive)
    image = picture(64, 64, seed=2)
    for progressive in (False, True):
        names = "-progressive" * progressive + ".jpg"
        yield "440" + names, resampled(saved(image, "jpeg", subsampling=1, progressive=progressive), 0x12)
        yield "411" + names, resampled(saved(image, "jpeg", subsampling=2, progressive=progressive), 0x41)
        yield "grey" + names, saved(image.convert("L"), "jpeg", progressive=progressive)
        for sampling in (0, 2):
            ink = Image.fromarray(np.concatenate([np.array(picture(43, 37, 3)), np.array(picture(43, 37, 4))[:, :, :1]], -1), "CMYK")
            data = saved(ink, "jpeg", quality=80, subsampling=sampling, progressive=progressive)
            yield f"cmyk{sampling}{names}", data
            yield f"ycck{sampling}{names}", adobe_transform(data, 2)
            at = data.index(b"\xff\xee")
            yield f"cmyk-plain{sampling}{names}", data[:at] + data[at + 16 :]
    image = picture(53, 41, seed=5)
    yield "114.jpg", resampled(saved(picture(64, 64, 2), "jpeg", subsampling=2), 0x14)
    yield "rgb.jpg", saved(image, "jpeg", keep_rgb=True)
    adobe = segments(saved(image, "jpeg", keep_rgb=True))[0][0xEE]
    yield "rgb-by-name.jpg", saved(image, "jpeg", keep_rgb=True).replace(adobe, b"")
    yield "adobe-ycc.jpg", saved(image, "jpeg").replace(segments(saved(image, "jpeg"))[0][0xE0], adobe_transform(adobe, 1))
    yield "jfif-adobe.jpg", saved(image, "jpeg")[:20] + adobe_transform(adobe, 0) + saved(image, "jpeg")[20:]
    yield "separate-scans.jpg", separate_scans(image)
    yield "wide-tables.jpg", wide_tables(saved(image, "jpeg"))
    yield "noise-100.jpg", saved(Image.fromarray(noise((24, 24, 3), 6)), "jpeg", quality=100, subsampling=0)
    yield "noise-3.jpg", saved(Image.fromarray(noise((24, 24, 3), 7)), "jpeg", quality=3)
    yield "restart.jpg", saved(image, "jpeg", restart_marker_blocks=2)
    yield "restart-progressive.jpg", saved(image, "jpeg", restart_marker_rows=1, progressive=True)
    yield "optimized.jpg", saved(image, "jpeg", optimize=True, quality=60)
    plain, progressive = saved(image, "jpeg"), saved(image, "jpeg", progressive=True)
    yield "damaged.jpg", damaged(plain, len(plain) - 200, len(plain) - 150)
    yield "damaged-progressive.jpg", damaged(progressive, len(progressive) - 60, len(progressive) - 40)
    restart = saved(image, "jpeg", restart_marker_blocks=2)
    yield "damaged-restart.jpg", damaged(restart, len(restart) - 400, len(restart) - 396)
    yield "cut.jpg", plain[: len(plain) * 3 // 4] + b"\xff\xd9"
    yield "cut-restart.jpg", restart[: len(restart) * 3 // 4] + b"\xff\xd9"
    yield "trailing.jpg", plain + b"more"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees: not applied
    yield "orientation.jpg", saved(image, "jpeg", exif=exif, quality=60)


# GIF: Pillow cannot be told where to put a frame.


def gif(size, frames, palette, background=0):
    """Frames are (left, top, indices, transparent index or None, local palette or None, interlaced)."""
    bits = (len(palette) - 1).bit_length()
    out = b"GIF89a" + struct.pack("<HHBBB", *size, 0x80 | bits - 1, background, 0) + palette.tobytes()
    for left, top, indices, transparent, local, interlaced in frames:
        if transparent is not None:
            out += b"\x21\xf9\x04\x01\x05\x00" + bytes([transparent, 0])
        height, width = indices.shape
        flags = (0x80 | bits - 1 if local is not None else 0) | 0x40 * interlaced
        out += b"\x2c" + struct.pack("<HHHHB", left, top, width, height, flags)
        out += local.tobytes() if local is not None else b""
        if interlaced:
            indices = np.concatenate([indices[0::8], indices[4::8], indices[2::4], indices[1::2]])
        out += bytes([bits]) + lzw(indices.ravel(), bits)
    return out + b"\x3b"


def lzw(values, bits):
    """Literal codes only: the table is cleared before a code would grow."""
    stream, clear = "", 1 << bits
    for i, v in enumerate(values):
        if i % (clear - 2) == 0:
            stream = f"{clear:0{bits + 1}b}" + stream
        stream = f"{int(v):0{bits + 1}b}" + stream
    stream = f"{clear + 1:0{bits + 1}b}" + stream
    data = int(stream, 2).to_bytes((len(stream) + 7) // 8, "little")
    return b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255)) + b"\0"


def gifs():
    palette, local = noise((16, 3), 11), noise((16, 3), 12)
    indices = prng.integers("gif", 9 * 14, 0, 16, 1).reshape(9, 14)
    yield "plain.gif", gif((14, 9), [(0, 0, indices, None, None, False)], palette)
    comment = b"\x21\xfe\x05hello\x00"
    plain = gif((14, 9), [(0, 0, indices, None, None, False)], palette)
    yield "comment.gif", plain[: 13 + 48] + comment + plain[13 + 48 :]
    yield "no-palette.gif", plain[:10] + b"\x03" + plain[11:13] + plain[13 + 48 :]
    yield "interlaced.gif", gif((14, 9), [(0, 0, indices, None, None, True)], palette)
    yield "local.gif", gif((14, 9), [(0, 0, indices, None, local, False)], palette)
    yield "transparent.gif", gif((14, 9), [(0, 0, indices, 3, None, False)], palette)
    yield "offset.gif", gif((20, 15), [(4, 3, indices, None, None, False)], palette, background=5)
    yield "offset-transparent.gif", gif((20, 15), [(4, 3, indices, 3, None, False)], palette, background=5)
    yield "offset-local.gif", gif((20, 15), [(4, 3, indices, None, local, False)], palette, background=5)
    yield "animated.gif", gif((14, 9), [(0, 0, indices, 2, None, False), (0, 0, indices[::-1], None, None, False)], palette)


# WebP


def webps():
    for size in [(1, 1), (2, 3), (16, 16), (37, 29)]:
        for quality in (20, 80):
            yield f"lossy{quality}-{size[0]}x{size[1]}.webp", saved(picture(*size, 21), "webp", quality=quality)
    image = picture(37, 29, 22)
    yield "lossless.webp", saved(image, "webp", lossless=True)
    alpha = image.copy()
    alpha.putalpha(Image.fromarray(np.array(picture(37, 29, 23))[:, :, 0]))
    yield "lossy-alpha.webp", saved(alpha, "webp", quality=70)
    yield "lossy-alpha-coarse.webp", saved(alpha, "webp", quality=70, alpha_quality=20)
    yield "lossless-alpha.webp", saved(alpha, "webp", lossless=True, exact=True)
    others = [picture(37, 29, 24)]
    yield "animated.webp", saved(image, "webp", save_all=True, append_images=others, quality=70)
    yield "animated-lossy-alpha.webp", saved(alpha, "webp", save_all=True, append_images=others, quality=70)
    yield "animated-offset.webp", offset(saved(image, "webp", save_all=True, append_images=others, quality=70))
    yield "animated-offset-alpha.webp", offset(saved(alpha, "webp", save_all=True, append_images=others, quality=70))
    yield "animated-alpha.webp", saved(alpha, "webp", save_all=True, append_images=others, lossless=True, exact=True)


def offset(data):
    """The animation with its first frame at 4, 2 on a larger canvas."""
    canvas, frame = data.index(b"VP8X") + 12, data.index(b"ANMF") + 8
    width, height = (int.from_bytes(data[at : at + 3], "little") for at in (canvas, canvas + 3))
    larger = (width + 7).to_bytes(3, "little") + (height + 5).to_bytes(3, "little")
    place = (2).to_bytes(3, "little") + (1).to_bytes(3, "little")
    return data[:canvas] + larger + data[canvas + 6 : frame] + place + data[frame + 6 :]


# BMP


def bmps():
    image = picture(13, 11, 31)
    yield "rgb.bmp", saved(image, "bmp")
    yield "rgba.bmp", saved(image.convert("RGBA"), "bmp")
    yield "grey.bmp", saved(image.convert("L"), "bmp")
    yield "palette.bmp", saved(image.quantize(200), "bmp")
    yield "palette4.bmp", saved(image.quantize(16), "bmp")
    yield "bilevel.bmp", saved(image.convert("1"), "bmp")
    rows = np.array(image)[:, :, ::-1]
    padded = np.pad(rows.reshape(11, -1), ((0, 0), (0, 1))).tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, 13, -11, 1, 24, 0, len(padded), 0, 0, 0, 0)
    yield "top-down.bmp", b"BM" + struct.pack("<IHHI", 54 + len(padded), 0, 0, 54) + header + padded


def open_rgb(name):
    return Image.fromarray(np.array(Image.open(f"{FOLDER}/images/{name}").convert("RGB")))


def write_images():
    for make in (pngs, jpegs, gifs, webps, bmps):
        for name, data in make():
            with open(f"{FOLDER}/images/{name}", "wb") as f:
                f.write(data)
    for path in sorted(glob.glob(f"{FOLDER}/images/*")):
        name = os.path.basename(path)
        open_rgb(name).save(f"{FOLDER}/rgb/{name}.png", optimize=True)
        image = Image.open(path)
        if "A" in image.getbands() or image.info.get("transparency") is not None:
            # Pillow compares the transparent value of a 2-, 4- or 16-bit PNG with values of 8 bits.
            if name in ("grey2-transparent.png", "grey4-transparent.png", "grey16-transparent.png", "rgb16-transparent.png"):
                continue
            on_white = transformers.image_transforms.convert_to_rgb(image, return_numpy=True)
            Image.fromarray(on_white).save(f"{FOLDER}/white/{name}.png", optimize=True)


# Resizing

RESIZED = {
    "rgb8.png": [(1, 1), (13, 30), (40, 11), (5, 40), (40, 5), (4, 4), (31, 17), (26, 22), (7, 2), (12, 10)],
    "444-53x41.jpg": [(16, 16), (3, 40), (52, 8), (53, 8), (20, 41), (60, 20)],
    "444-17x33.jpg": [(16, 31), (16, 30), (24, 24)],
    "palette1.png": [(40, 40), (6, 5)],
    "emoji-woman-firefighter.png": [(24, 24), (9, 70)],
}


def write_resized():
    for name, sizes in RESIZED.items():
        for width, height in sizes:
            for kind in Image.Resampling:
                resized = open_rgb(name).resize((width, height), kind)
                resized.save(f"{FOLDER}/resized/{name}_{width}x{height}_{kind.name.lower()}.png", optimize=True)


# Processors

CLASSES = ["ViT", "DeiT", "Beit", "Pvt", "Siglip", "Blip", "CLIP", "Bit"]
IMAGENET = dict(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])


def configurations():
    """(class, fields of the file, source): small outputs are stored whole."""
    wide, tall, small = "444-53x41.jpg", "444-17x33.jpg", "rgb8.png"
    old = dict(feature_extractor_type="ViTFeatureExtractor", do_normalize=True, do_resize=True,
               image_mean=[0.5, 0.5, 0.5], image_std=[0.5, 0.5, 0.5], resample=2, size=224)
    yield "ViT", old, wide  # nlpconnect/vit-gpt2-image-captioning
    for name in CLASSES:
        yield name, dict(image_processor_type=name + "ImageProcessor"), wide
    yield "Siglip", dict(image_processor_type="SiglipImageProcessor", size=12), tall
    yield "CLIP", dict(image_processor_type="CLIPImageProcessorFast", size=30, crop_size=24), tall
    yield "CLIP", dict(image_processor_type="CLIPFeatureExtractor", size={"shortest_edge": 9}, crop_size=[12, 14]), wide
    yield "CLIP", dict(image_processor_type="CLIPImageProcessor", size={"shortest_edge": 9, "longest_edge": 11}, do_center_crop=False), wide
    yield "CLIP", dict(image_processor_type="CLIPImageProcessor", size={"shortest_edge": 9, "longest_edge": 11}, do_center_crop=False), tall
    yield "CLIP", dict(image_processor_type="CLIPImageProcessor", size={"shortest_edge": 9, "longest_edge": 40}, do_center_crop=False), tall
    yield "ViT", dict(image_processor_type="ViTImageProcessor", size={"max_height": 12, "max_width": 20}), tall
    yield "ViT", dict(image_processor_type="ViTImageProcessorPil", size=[10, 20], resample=3, **IMAGENET), wide
    yield "ViT", dict(image_processor_type="ViTImageProcessor", size=16, resample=0, do_rescale=False), wide
    yield "ViT", dict(image_processor_type="ViTImageProcessor", size=16, resample=1, do_normalize=False), wide
    yield "ViT", dict(image_processor_type="ViTImageProcessor", size=16, resample=4, rescale_factor=0.0125, image_mean=0.25, image_std=0.3), wide
    yield "ViT", dict(image_processor_type="ViTImageProcessor", do_resize=False, do_rescale=False, do_normalize=False), small
    yield "ViT", dict(do_resize=False, do_center_crop=True, crop_size={"height": 8, "width": 20}), small
    yield "ViT", dict(do_resize=False, do_center_crop=True, crop_size={"height": 16, "width": 6}), small


def write_processors():
    cases, stored = [], b""
    for name, fields, source in configurations():
        # do_convert_rgb only matters to pictures that are not RGB.
        processor = getattr(transformers, name + "ImageProcessorPil").from_dict({k: v for k, v in fields.items() if not k.endswith("_type")})
        values = processor(open_rgb(source), return_tensors="np")["pixel_values"][0].astype("<f4")
        case = dict(config=fields, source=source, height=values.shape[1], width=values.shape[2])
        case["sha256"] = hashlib.sha256(values.tobytes()).hexdigest()
        if values.size < 2000:
            case["offset"] = len(stored) // 4
            stored += values.tobytes()
        cases.append(case)
    with open(f"{FOLDER}/processors.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    with open(f"{FOLDER}/processors.f32", "wb") as f:
        f.write(stored)


def main():
    for path in glob.glob(f"{FOLDER}/images/*"):
        if not os.path.basename(path).startswith("emoji-"):
            os.remove(path)
    for name in MADE:
        shutil.rmtree(f"{FOLDER}/{name}", ignore_errors=True)
        os.makedirs(f"{FOLDER}/{name}")
    write_images()
    write_resized()
    write_processors()


if __name__ == "__main__":
    main()
