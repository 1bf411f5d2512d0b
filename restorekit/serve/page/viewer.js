// Before and after: one picture over the other, cut at the bar; zoom, and strength as the upper one's opacity.
const $ = (id) => document.getElementById(id);
const STEPS = [0.125, 0.25, 0.5, 1, 2, 4];

export function seconds(value) {
  if (value === null || value === undefined) return "";
  if (value < 1) return "less than a second";
  if (value < 100) return `${Math.round(value)} s`;
  return `${Math.round(value / 60)} min`;
}

export class Viewer {
  constructor(keepStrength) {
    this.keepStrength = keepStrength;
    this.zoom = null; // null: as large as fits; else screen pixels for each pixel of the picture
    this.split = 0.5;
    $("split").addEventListener("input", () => { this.split = $("split").value / 100; this.draw(); });
    $("strength").addEventListener("input", () => this.setStrength($("strength").value / 100));
    $("zoom-in").addEventListener("click", () => this.step(1));
    $("zoom-out").addEventListener("click", () => this.step(-1));
    $("zoom-fit").addEventListener("click", () => this.setZoom(null));
    $("stage").addEventListener("scroll", () => this.draw());
    $("stage").addEventListener("dblclick", (event) => this.setZoom(this.zoom === null ? 1 : null, event));
    $("stage").addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    $("before").addEventListener("load", () => this.layout());
    $("bar").addEventListener("pointerdown", (event) => this.drag(event));
    $("stage").addEventListener("pointerdown", (event) => this.pan(event));
    this.follow();
    new ResizeObserver(() => this.layout()).observe($("frame"));
  }

  open(item) {
    this.item = item;
    const clip = item.kind === "clip";
    $("viewer-title").textContent = item.name;
    $("compare").hidden = clip;
    $("clip").hidden = !clip;
    for (const id of ["clip-before", "clip-after"]) $(id).removeAttribute("src");
    if (clip) this.clips(item);
    else this.pictures(item);
    const size = item.width ? `${item.width} × ${item.height} pixels, ` : "";
    $("facts").textContent = `${size}restored in ${seconds(item.seconds)} with ${item.model}`;
    $("notes").replaceChildren(...item.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
    $("download").href = `items/${item.id}/result`;
    $("download").setAttribute("aria-label", `Download ${item.name}`);
  }

  clips(item) {
    $("unplayable").hidden = true;
    $("clip-before").src = `items/${item.id}/file/before`;
    $("clip-after").src = `items/${item.id}/file/after?round=${item.round}`;
  }

  // The left clip follows the right one.
  follow() {
    const before = $("clip-before"), after = $("clip-after");
    after.addEventListener("play", () => before.play());
    after.addEventListener("pause", () => before.pause());
    after.addEventListener("seeked", () => { before.currentTime = after.currentTime; });
    after.addEventListener("error", () => { $("unplayable").hidden = !after.hasAttribute("src"); });
  }

  pictures(item) {
    const moving = item.kind === "animation";
    this.zoom = null;
    $("before").src = moving ? `items/${item.id}/file/before` : `items/${item.id}/before.jpg`;
    $("after").src = `items/${item.id}/${moving ? "file/after" : "after.jpg"}?round=${item.round}`;
    $("blend").hidden = $("strength-help").hidden = moving;
    $("before").alt = `${item.name} before`;
    $("after").alt = `${item.name} restored`;
    $("strength").value = Math.round(100 * item.strength);
    this.showStrength();
    this.layout();
  }

  setStrength(value) {
    this.item.strength = value;
    this.showStrength();
    clearTimeout(this.timer);
    this.timer = setTimeout(this.keepStrength, 150, this.item);
  }

  showStrength() {
    $("strength-value").textContent = `${Math.round(100 * this.item.strength)} %`;
    $("after").style.opacity = this.item.strength;
  }

  get fit() {
    const picture = $("before"), room = $("frame").clientWidth, height = 0.68 * innerHeight;
    return Math.min(room / picture.naturalWidth, height / picture.naturalHeight, 1);
  }

  // Pixels of the picture for each pixel of its preview.
  get reduced() {
    return this.item.width / $("before").naturalWidth || 1;
  }

  // Shown pixels for each pixel of the preview, which is smaller than the picture where that is very large.
  get scale() {
    return this.zoom === null ? this.fit : this.zoom * this.reduced;
  }

  // Shown pixels for each pixel of the picture itself.
  get shown() {
    return this.scale / this.reduced;
  }

  step(direction) {
    const now = this.shown;
    const next = direction > 0 ? STEPS.find((s) => s > now * 1.01) : STEPS.findLast((s) => s < now * 0.99);
    if (next === undefined) return;
    this.setZoom(next * this.reduced <= this.fit ? null : next);
  }

  wheel(event) {
    if (!event.ctrlKey) return;
    event.preventDefault();
    this.step(event.deltaY < 0 ? 1 : -1);
  }

  setZoom(zoom, at) {
    const stage = $("stage"), sheet = $("sheet").getBoundingClientRect(), view = stage.getBoundingClientRect();
    const x = at ? at.clientX : view.left + view.width / 2, y = at ? at.clientY : view.top + view.height / 2;
    const across = (x - sheet.left) / sheet.width, down = (y - sheet.top) / sheet.height;
    this.zoom = zoom;
    this.layout();
    stage.scrollLeft = across * $("sheet").offsetWidth - stage.clientWidth / 2;
    stage.scrollTop = down * $("sheet").offsetHeight - stage.clientHeight / 2;
  }

  layout() {
    if (!this.item || !$("before").naturalWidth) return;
    $("sheet").style.width = `${this.scale * $("before").naturalWidth}px`;
    $("stage").classList.toggle("large", this.zoom !== null);
    $("zoom").textContent = `${Math.round(100 * this.shown)} %`;
    $("zoom-fit").disabled = this.zoom === null;
    this.draw();
  }

  draw() {
    const stage = $("stage"), wide = $("sheet").offsetWidth, seen = Math.min(stage.clientWidth, wide);
    const edge = Math.max(0, (stage.clientWidth - wide) / 2);
    $("after").style.clipPath = `inset(0 0 0 ${stage.scrollLeft + this.split * seen}px)`;
    $("frame").style.setProperty("--edge", `${edge}px`);
    $("bar").style.left = `${edge + this.split * seen}px`;
  }

  drag(event) {
    const bar = $("bar"), stage = $("stage");
    event.preventDefault();
    bar.setPointerCapture(event.pointerId);
    const move = (e) => {
      const seen = Math.min(stage.clientWidth, $("sheet").offsetWidth);
      const left = stage.getBoundingClientRect().left + Math.max(0, (stage.clientWidth - seen) / 2);
      this.split = Math.min(1, Math.max(0, (e.clientX - left) / seen));
      $("split").value = Math.round(100 * this.split);
      this.draw();
    };
    bar.addEventListener("pointermove", move);
    bar.addEventListener("lostpointercapture", () => bar.removeEventListener("pointermove", move), { once: true });
  }

  // Fingers scroll by themselves; a mouse drags the enlarged picture.
  pan(event) {
    if (event.pointerType !== "mouse" || event.button !== 0 || this.zoom === null) return;
    const stage = $("stage");
    event.preventDefault();
    stage.focus();
    stage.setPointerCapture(event.pointerId);
    const move = (e) => stage.scrollBy(-e.movementX, -e.movementY);
    stage.addEventListener("pointermove", move);
    stage.addEventListener("lostpointercapture", () => stage.removeEventListener("pointermove", move), { once: true });
  }
}
