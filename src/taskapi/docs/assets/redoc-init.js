// ReDoc signs its menu with an image from its vendor's host and has no option against it. The
// browser asks for an image as soon as its source is set, so an observer or a style comes too late.
// React sets it as an attribute and then as a property, and not every browser waits for the second.
// An image that cannot be drawn leads ReDoc to take the element away by itself.
const image = HTMLImageElement.prototype;
const source = Object.getOwnPropertyDescriptor(image, "src");

function atHome(address) {
  const url = new URL(address, document.baseURI);
  return url.protocol === "data:" || url.origin === location.origin ? address : "data:,";
}

Object.defineProperty(image, "src", {
  ...source,
  set(address) {
    source.set.call(this, atHome(address));
  },
});
image.setAttribute = function (name, value) {
  Element.prototype.setAttribute.call(this, name, name === "src" ? atHome(value) : value);
};

const system = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif";

Redoc.init(
  document.currentScript.dataset.spec,
  {
    // The defaults name web fonts that would have to come from elsewhere.
    theme: {
      typography: {
        fontFamily: system,
        headings: { fontFamily: system },
        code: { fontFamily: "ui-monospace, 'Liberation Mono', Menlo, Consolas, monospace" },
      },
    },
  },
  document.getElementById("docs"),
);
