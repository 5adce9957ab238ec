import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** Where the gateway's admin server listens while the dashboard is worked on. */
const admin = process.env.LLMITM_ADMIN ?? "http://127.0.0.1:8812";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../addons/llmitm/admin/static",
    emptyOutDir: true,
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // what is bundled wants its licences beside it
    license: { fileName: "licenses.md" },
    target: "es2022",
    rollupOptions: {
      output: {
        manualChunks: {
          react: ["react", "react-dom", "react-router", "@tanstack/react-query"],
        },
      },
    },
  },
  server: {
    host: "127.0.0.1",
    port: 5173,
    proxy: {
      "/api": { target: admin, changeOrigin: true },
      "/admin": { target: admin, changeOrigin: true },
      "/ws": { target: admin, ws: true, changeOrigin: true },
    },
  },
});
