import{j as t}from"./react-B3RtMoXF.js";import{P as e,E as r}from"./index-CkDH5H-j.js";function o(){return t.jsx(e,{title:"Keys",children:t.jsx(r,{title:"Nothing here yet"})})}export{o as default};
