// What the frameworks' tests share: where modeld is, its models, a tool, what they ask.
export const { MODELD_URL, TOOLS_MODEL: model, EMBED_MODEL: embedModel } = process.env;
export const baseURL = `${MODELD_URL}/v1`;
export const count = "Count from one to ten.";
export const question = "How is the weather in Paris for 3 days?";
export const texts = [
  "A cat sits on the mat.", "A kitten rests on a rug.", "The stock market fell today."];

export const weather = ({ city, days }) => `${days} days of sun in ${city}`;

export const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
