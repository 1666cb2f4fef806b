// Both pictures in tiles on one canvas, however large they are: drag, wheel, two fingers, or keys.
const MOST_TILES = 240;

async function levelsOf(address) {
  const answer = await fetch(`${address}/tiles.json`);
  if (!answer.ok) throw new Error("no tiles");
  return answer.json();
}

class Layer {
  constructor(address, about, redraw) {
    this.address = address;
    this.about = about;
    this.redraw = redraw;
    this.tiles = new Map();
  }

  // The level whose pixels are no coarser than the screen's, at this scale of the whole picture.
  level(scale) {
    const wanted = Math.floor(Math.log2(1 / Math.min(1, scale)));
    return Math.min(this.about.levels.length - 1, Math.max(0, wanted));
  }

  tile(level, column, row) {
    const name = `${level}/${column}/${row}`;
    let image = this.tiles.get(name);
    if (image) {
      this.tiles.delete(name);
    } else {
      image = new Image();
      image.addEventListener("load", this.redraw);
      image.src = `${this.address}/tiles/${name}.jpg?v=${this.about.version}`;
    }
    this.tiles.set(name, image);
    if (this.tiles.size > MOST_TILES) this.tiles.delete(this.tiles.keys().next().value);
    return image;
  }

  draw(context, view, level) {
    const [width, height] = this.about.levels[level];
    const [fullWidth, fullHeight] = this.about.levels[0];
    const [across, down] = [fullWidth / width, fullHeight / height];
    const side = this.about.tile;
    const from = (offset, ratio) => Math.max(0, Math.floor(offset / ratio / side));
    const to = (offset, length, ratio, size) =>
      Math.min(Math.ceil(size / side), Math.ceil((offset + length / view.scale) / ratio / side));
    for (let row = from(view.y, down); row < to(view.y, view.height, down, height); row++) {
      for (let column = from(view.x, across); column < to(view.x, view.width, across, width); column++) {
        const image = this.tile(level, column, row);
        if (!image.complete || !image.naturalWidth) continue;
        const left = (column * side * across - view.x) * view.scale;
        const top = (row * side * down - view.y) * view.scale;
        context.drawImage(image, left, top, image.naturalWidth * across * view.scale + 0.5,
          image.naturalHeight * down * view.scale + 0.5);
      }
    }
  }
}

export function openZoom(part) {
  const canvas = part.querySelector("canvas");
  const said = part.querySelector(".said");
  const context = canvas.getContext("2d");
  const view = { x: 0, y: 0, scale: 1, width: 1, height: 1 };
  let layers = [];
  let share = 0.5;
  let drawing = false;

  const full = () => layers[0].about.levels[0];
  const least = () => Math.min(1, view.width / full()[0], view.height / full()[1]);
  const redraw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(draw);
  };
  function draw() {
    drawing = false;
    context.clearRect(0, 0, view.width, view.height);
    if (!layers.length) return;
    const edge = layers.length > 1 ? view.width * share : 0;
    context.imageSmoothingEnabled = view.scale < 2;
    layers.forEach((layer, number) => {
      context.save();
      context.beginPath();
      if (layers.length > 1 && number === 0) context.rect(0, 0, edge, view.height);
      else context.rect(edge, 0, view.width - edge, view.height);
      context.clip();
      layer.draw(context, view, layer.about.levels.length - 1);
      layer.draw(context, view, layer.level(view.scale * devicePixelRatio));
      context.restore();
    });
    if (layers.length > 1) {
      context.fillStyle = "#fffdf9";
      context.fillRect(edge - 1, 0, 2, view.height);
    }
    said.textContent = `${Math.round(view.scale * 100)} %`;
  }
  function keepInside() {
    view.scale = Math.min(16, Math.max(least(), view.scale));
    for (const [axis, length, size] of [["x", view.width, full()[0]], ["y", view.height, full()[1]]]) {
      const shown = length / view.scale;
      view[axis] = shown >= size ? (size - shown) / 2 : Math.min(size - shown, Math.max(0, view[axis]));
    }
    redraw();
  }
  function zoomAt(factor, x = view.width / 2, y = view.height / 2) {
    const before = view.scale;
    view.scale = Math.min(16, Math.max(least(), view.scale * factor));
    view.x += x / before - x / view.scale;
    view.y += y / before - y / view.scale;
    keepInside();
  }
  function move(x, y) {
    view.x -= x / view.scale;
    view.y -= y / view.scale;
    keepInside();
  }
  function resize() {
    const bounds = canvas.getBoundingClientRect();
    view.width = bounds.width;
    view.height = bounds.height;
    canvas.width = Math.round(bounds.width * devicePixelRatio);
    canvas.height = Math.round(bounds.height * devicePixelRatio);
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    if (layers.length) keepInside();
  }

  const pointers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before || !layers.length) return;
    if (pointers.size === 2) {
      const [other] = [...pointers.values()].filter((pointer) => pointer.pointerId !== event.pointerId);
      const distance = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY);
      const bounds = canvas.getBoundingClientRect();
      zoomAt(distance(event) / Math.max(1, distance(before)), (event.clientX + other.clientX) / 2 - bounds.left,
        (event.clientY + other.clientY) / 2 - bounds.top);
    } else {
      move(event.clientX - before.clientX, event.clientY - before.clientY);
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (layers.length) zoomAt(2 ** (-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  // All scan, all colour, half and half.
  const turn = () => {
    share = share === 0 || share === 1 ? (share ? 0.5 : 1) : 0;
    redraw();
  };
  canvas.addEventListener("dblclick", turn);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "s") {
      event.preventDefault();
      event.stopPropagation();
      turn();
      return;
    }
    const moves = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] };
    const factors = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: 1e-6, 1: 1 / view.scale };
    if (!layers.length || !(event.key in moves || event.key in factors)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key in moves) move(...moves[event.key]);
    else zoomAt(factors[event.key]);
  });

  said.textContent = "The picture is being prepared …";
  const sides = part.dataset.sides.split(" ");
  Promise.all(sides.map((side) => levelsOf(`${part.dataset.scan}/${side}`)))
    .then((abouts) => {
      layers = abouts.map((about, number) => new Layer(`${part.dataset.scan}/${sides[number]}`, about, redraw));
      view.scale = 0;
      resize();
    })
    .catch(() => {
      said.textContent = "The picture can't be shown in full resolution.";
    });
  resize();
  addEventListener("resize", resize);
  return { resize, split: (value) => { share = value; redraw(); } };
}
