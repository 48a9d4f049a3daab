"""How the page looks, and the few lines of script that it has of its own."""

CSS = """
/* Gradio hides what overflows, and then nothing inside can stick to the top. */
.gradio-container { max-width: 1240px !important; margin: 0 auto; overflow: clip !important; }
.gradio-container .min_value, .gradio-container .max_value {
  color: var(--body-text-color) !important; }
.gradio-container h1 { font-size: 1.6rem; margin: 0; }
.gradio-container h1 + p { margin: .2rem 0 .4rem; max-width: 75ch; }
#panel h2 { font-size: .95rem; margin: 1rem 0 .35rem; }
#panel .facts { margin: 0; }
#panel .frames { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 10px; }
#panel figure { margin: 0; }
#panel img { width: 100%; height: auto; display: block; border-radius: 4px;
  image-rendering: pixelated; margin: 0; }
#panel figcaption, #panel dt { font-size: .8rem; opacity: .85; }
#panel figcaption { margin-top: 3px; }
#panel .latents { margin: 0; align-self: center; }
#panel dd { margin: 0 0 .5rem; font-weight: 600; font-variant-numeric: tabular-nums; }
#panel .message, #said .message { border-left: 4px solid #c4302b; padding: 8px 12px;
  background: #c4302b18; margin: 0 0 .5rem; overflow-wrap: anywhere; }
#panel .note { border-left: 4px solid #b7791f; padding: 8px 12px; background: #b7791f18;
  margin: 0 0 .6rem; font-size: .9rem; overflow-wrap: anywhere; }
#copied .head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 4px 10px;
  align-items: center; margin: .4rem 0 .35rem; }
#copied h2 { font-size: .95rem; margin: 0; }
#copied button { font-size: .8rem; cursor: pointer; padding: 3px 10px; border-radius: 4px;
  border: 1px solid currentColor; background: none; font-weight: 400; }
#copied pre { width: 0; min-width: 100%; margin: 0 0 .6rem; padding: 10px 12px; font-size: .8rem;
  line-height: 1.5; overflow-x: auto; white-space: pre; border-radius: 4px;
  background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
#copied pre.wrapped { white-space: pre-wrap; overflow-wrap: anywhere; }
/* On a phone the pictures stay in sight while the settings below them move. */
@media (max-width: 700px) {
  #pictures { order: -1; position: sticky; top: 0; z-index: 10; padding: 6px 0 8px;
    background: var(--body-background-fill); border-bottom: 1px solid var(--border-color-primary); }
  #panel h2 { margin: .35rem 0 .1rem; font-size: .8rem; }
  #panel .facts, #panel figcaption, #panel dt { font-size: .72rem; line-height: 1.3; }
  #panel .frames { gap: 6px; }
  #panel .frames img { aspect-ratio: 3 / 2; object-fit: cover; }
}
#upload label { display: block; font-size: .9rem; }
#upload input { display: block; margin-top: 6px; max-width: 100%; }
:focus-visible { outline: 3px solid #2660a4 !important; outline-offset: 2px; }
"""

# A button says for a moment that it copied; where the browser lets nobody copy, it selects.
COPY = """
element.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-copies]');
  if (!button) return;
  const text = element.querySelector('#' + button.dataset.copies);
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(text);
    button.textContent = 'Selected: copy it';
  }
  setTimeout(() => { button.textContent = label; }, 1500);
});
"""

# The picture travels inside the request: no file of the server is named, kept or served for it.
UPLOAD_HTML = '<label>PNG, JPEG, BMP or WebP<input type="file" accept="image/*"></label>'
UPLOAD_SCRIPT = """
element.addEventListener('change', (event) => {
  const file = event.target.files && event.target.files[0];
  if (!file) return;
  const reader = new FileReader();
  reader.onload = () => trigger('upload', { name: file.name, data: reader.result });
  reader.readAsDataURL(file);
});
"""
