/** Files that say next to nothing of the pixels that they claim to have are painted smaller: an image of their size all the same. */

/** @param {Blob} image @returns {Promise<string>} its bytes in an address */
const dataUrl = (image) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(image);
  });

/**
 * An image of a picture's full size, drawn from one whose sides are divided by `factor`, rounding up.
 * @param {Blob} image @param {number} width @param {number} height @param {number} factor
 */
export async function enlarged(image, width, height, factor) {
  const [across, down] = [width, height].map((side) => Math.ceil(side / factor) * factor);
  const inner = `<image width="${across}" height="${down}" preserveAspectRatio="none" href="${await dataUrl(image)}"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${inner}</svg>`;
  return new Blob([svg], { type: "image/svg+xml" });
}
